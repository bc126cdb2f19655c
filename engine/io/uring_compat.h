/*
 * uring_compat: kernel constants that are newer than Debian 12's headers and liburing 2.3.
 *
 * The numbers are kernel ABI. Names are our own (URING_...), so this also compiles beside newer headers. Each is used only after
 * the kernel has shown the feature bit that stands for it (see struct ring_caps in uring_ring.h).
 */
#ifndef TIDEWIRE_ENGINE_IO_URING_COMPAT_H
#define TIDEWIRE_ENGINE_IO_URING_COMPAT_H

#include <stdint.h>

/* Bits of io_uring_params.features. */
#define URING_FEAT_RECVSEND_BUNDLE (1u << 14) /* 6.10: not used itself; shows that an accept can wait first: URING_ACCEPT_POLL_FIRST */
#define URING_FEAT_MIN_TIMEOUT (1u << 15) /* 6.12: min_wait_us below */
#define URING_FEAT_RW_ATTR (1u << 16)     /* 6.14: not used itself; shows that each registered file has its own life (6.13) */
#define URING_FEAT_NO_IOWAIT (1u << 17)   /* 6.15: URING_ENTER_NO_IOWAIT */

/* Flags of io_uring_enter(2). */
#define URING_ENTER_NO_IOWAIT (1u << 7) /* sleeping in the ring does not count as waiting for a disk */

/* Bit of sqe->ioprio of an accept. Older kernels answer -EINVAL. */
#define URING_ACCEPT_POLL_FIRST (1u << 2) /* do not try before the listener is readable: a try makes a socket, and a vain one throws it away */

/* The argument of io_uring_enter(2) with IORING_ENTER_EXT_ARG. Older headers call min_wait_us `pad`, and older kernels want it zero. */
struct uring_wait_argument {
    uint64_t signal_mask;
    uint32_t signal_mask_size;
    uint32_t min_wait_us;
    uint64_t timeout; /* address of a struct __kernel_timespec, 0: none */
};

#endif
