// All of CLinux is in its header; a C target needs one file to compile.
#include "CLinux.h"
