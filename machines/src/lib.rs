//! Virtual machines under QEMU, and the network between them.
