import Linux
import ShimCore

// The CNI plugin binary; all of it is in ShimCore, so that tests can import it.
Process.exit(ShimProgram.main())
