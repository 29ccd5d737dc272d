// What Swift needs from C: the libc and kernel headers that the modules above use, prototypes that
// glibc shows only under _GNU_SOURCE, and macros. Every symbol of our own begins with cl_.
//
// _GNU_SOURCE is not defined here: connect and bind would then take a transparent union, which
// Swift cannot call.
#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>

// sched.h, sys/socket.h and unistd.h hide these without _GNU_SOURCE.
extern int setns(int fd, int nstype);
extern int unshare(int flags);
extern int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
extern int pipe2(int fds[2], int flags);
extern const char *strerrorname_np(int code);
extern char **environ;
extern char *program_invocation_short_name;
extern int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *, const char *);
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *, int);

// Constants that Swift sees with another type in each build mode, or not at all.
static const int cl_CLONE_NEWNET = 0x40000000;
static const int cl_CLONE_FS = 0x00000200;
static const int cl_O_PATH = __O_PATH;
static const int cl_SO_NETNS_COOKIE = 71;
static const int cl_EVENTFD_FLAGS = EFD_CLOEXEC | EFD_NONBLOCK;
static const int cl_SEMAPHORE_FLAGS = EFD_CLOEXEC | EFD_SEMAPHORE;
static const int cl_SIGNALFD_FLAGS = SFD_CLOEXEC | SFD_NONBLOCK;
static const int cl_EPOLL_CLOEXEC = EPOLL_CLOEXEC;
static const int cl_MSG_NOSIGNAL = MSG_NOSIGNAL;
static const int cl_MSG_TRUNC = MSG_TRUNC;
static const int cl_MSG_PEEK = MSG_PEEK;
static const int cl_MSG_DONTWAIT = MSG_DONTWAIT;
static const int cl_SOCK_STREAM = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
static const int cl_STREAM = SOCK_STREAM;
static const int cl_SOCK_RAW = SOCK_RAW | SOCK_CLOEXEC;
static const int cl_SOCK_DGRAM = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
static const int cl_ACCEPT_FLAGS = SOCK_CLOEXEC | SOCK_NONBLOCK;
static const int cl_INOTIFY_FLAGS = IN_CLOEXEC | IN_NONBLOCK;
static const unsigned cl_IN_ARRIVED = IN_MOVED_TO;
static const unsigned cl_IN_CHANGED =
    IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE;
static const unsigned cl_IN_GONE_SELF = IN_DELETE_SELF | IN_MOVE_SELF;
static const unsigned cl_IN_GONE = IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT;
static const unsigned cl_IN_OVERFLOW = IN_Q_OVERFLOW;
static const unsigned cl_IN_DIRECTORY = IN_ONLYDIR | IN_DONT_FOLLOW;
static const int cl_EPOLLIN = EPOLLIN;
static const int cl_EPOLLOUT = EPOLLOUT;
static const int cl_EPOLLERR = EPOLLERR;
static const int cl_EPOLLHUP = EPOLLHUP;
static const int cl_EPOLLRDHUP = EPOLLRDHUP;
static const int cl_SPAWN_FLAGS =
    POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
static const int cl_IPPROTO_TCP = IPPROTO_TCP;
static const long cl_UTIME_OMIT = UTIME_OMIT;

// struct ucred of socket(7), hidden like the prototypes above.
struct cl_ucred {
  pid_t pid;
  uid_t uid;
  gid_t gid;
};

static inline int cl_errno(void) { return errno; }
static inline int cl_open(const char *path, int flags, mode_t mode) {
  return open(path, flags, mode);
}
static inline int cl_openat(int directory, const char *path, int flags, mode_t mode) {
  return openat(directory, path, flags, mode);
}
// openat2(RESOLVE_IN_ROOT): every absolute link and every .. of the path stays below root.
static inline int cl_open_in_root(int root, const char *path, int flags) {
  struct open_how how;
  memset(&how, 0, sizeof how);
  how.flags = (unsigned)flags;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}
static inline int cl_fcntl(int fd, int command, int argument) {
  return fcntl(fd, command, argument);
}
static inline int cl_namespace_type(int fd) { return ioctl(fd, NS_GET_NSTYPE); }
// One of ethtool's commands that take and give one value, through any socket of the link's
// namespace. name has at most 15 bytes; 0 with *value filled in, -1 with errno.
static inline int cl_ethtool_value(int fd, const char *name, uint32_t command, uint32_t *value) {
  struct ethtool_value exchange = {.cmd = command, .data = *value};
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
  request.ifr_data = (void *)&exchange;
  if (ioctl(fd, SIOCETHTOOL, &request) != 0) return -1;
  *value = exchange.data;
  return 0;
}
static inline int cl_pidfd_open(pid_t pid) {
  return (int)syscall(SYS_pidfd_open, pid, 0);
}
static inline int cl_pidfd_send_signal(int pidfd, int number) {
  return (int)syscall(SYS_pidfd_send_signal, pidfd, number, (void *)0, 0);
}
static inline long cl_getrandom(void *buffer, size_t length) {
  return syscall(SYS_getrandom, buffer, length, 0);
}
// renameat2(RENAME_EXCHANGE): each path gets what the other had.
static inline int cl_exchange(const char *one, const char *other) {
  return (int)syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, other, 2u);
}
// sync_file_range(SYNC_FILE_RANGE_WRITE) of a whole file: its content begins to be written.
static inline int cl_begin_writing(int fd) {
  return (int)syscall(SYS_sync_file_range, fd, 0LL, 0LL, 2u);
}
// readdir, whose end and whose errors differ in *error only.
static inline struct dirent *cl_read_directory(DIR *directory, int *error) {
  errno = 0;
  struct dirent *entry = readdir(directory);
  *error = errno;
  return entry;
}
static inline int cl_gettid(void) { return (int)syscall(SYS_gettid); }
static inline int cl_is_directory(mode_t mode) { return S_ISDIR(mode); }
static inline int cl_is_regular(mode_t mode) { return S_ISREG(mode); }
static inline int cl_is_socket(mode_t mode) { return S_ISSOCK(mode); }
static inline int cl_is_symbolic_link(mode_t mode) { return S_ISLNK(mode); }
static inline int cl_exited(int status) { return WIFEXITED(status); }
static inline int cl_exit_status(int status) { return WEXITSTATUS(status); }
static inline int cl_signal_of(int status) { return WTERMSIG(status); }
static inline const char *cl_entry_name(const struct dirent *entry) { return entry->d_name; }

static inline char *const *cl_environment(void) { return environ; }
static inline const char *cl_program_name(void) { return program_invocation_short_name; }
static inline void cl_ignore_broken_pipes(void) { signal(SIGPIPE, SIG_IGN); }

// waitid(P_PIDFD): 0 with *exited and *value filled in, -1 with errno. value is the exit
// status or the signal.
static inline int cl_wait_pidfd(int pidfd, int *exited, int *value) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  if (waitid((idtype_t)3 /* P_PIDFD */, (id_t)pidfd, &info, WEXITED) != 0) return -1;
  *exited = info.si_code == CLD_EXITED;
  *value = info.si_status;
  return 0;
}

_Static_assert(sizeof(struct cl_ucred) == 12, "struct ucred of the kernel");
_Static_assert(NETLINK_ROUTE == 0, "linux/netlink.h");
// What DirectoryWatch assembles byte by byte.
_Static_assert(sizeof(struct inotify_event) == 16, "sys/inotify.h");

// Netlink copies these as they lie in memory; the kernel's own sizes leave no room for
// padding at the end.
_Static_assert(sizeof(struct nlmsghdr) == 16 && sizeof(struct nlattr) == 4, "linux/netlink.h");
_Static_assert(sizeof(struct ifinfomsg) == 16 && sizeof(struct rtmsg) == 12, "linux/rtnetlink.h");
_Static_assert(sizeof(struct rtnexthop) == 8 && sizeof(struct rtgenmsg) == 1, "linux/rtnetlink.h");
_Static_assert(sizeof(struct ifaddrmsg) == 8, "linux/if_addr.h");
_Static_assert(sizeof(struct rtattr) == 4, "linux/rtnetlink.h");
_Static_assert(sizeof(struct ndmsg) == 12, "linux/neighbour.h");
_Static_assert(sizeof(struct tcmsg) == 20, "linux/rtnetlink.h");
_Static_assert(sizeof(struct tc_ratespec) == 12, "linux/pkt_sched.h");
_Static_assert(sizeof(struct tc_tbf_qopt) == 36, "linux/pkt_sched.h");
_Static_assert(sizeof(struct tc_htb_opt) == 44, "linux/pkt_sched.h");
_Static_assert(sizeof(struct tc_police) == 56, "linux/pkt_cls.h");
