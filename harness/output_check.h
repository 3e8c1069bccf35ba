/* Can the file be made? Asked before the work whose result it is to hold. */
#ifndef HM_HARNESS_OUTPUT_CHECK_H
#define HM_HARNESS_OUTPUT_CHECK_H

#include "engine/base/error.h"

/* Makes and removes a file beside path. HM_ECREATE: no such folder, not writable, full, or path is there and no regular file. */
hm_status hm_output_check(const char *what, const char *path, hm_error *err);

#endif
