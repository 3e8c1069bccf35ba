/* The worker: one process, one engine, told what to do in lines of JSON (docs/worker-protocol.md). */
#ifndef HM_HARNESS_WORKER_H
#define HM_HARNESS_WORKER_H

#include "engine/base/error.h"

/* Serves the protocol on the two descriptors until "close" or the end of its input. HM_OK after an orderly end; a failure that no
 * answer can carry otherwise. */
hm_status hm_worker_serve(int in_fd, int out_fd, hm_error *err);

#endif
