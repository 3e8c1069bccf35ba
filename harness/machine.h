/* Facts of the machine and of the build, for the fingerprint of every session. */
#ifndef HM_HARNESS_MACHINE_H
#define HM_HARNESS_MACHINE_H

#include "harness/store.h"

/* Reads /proc, /sys and the cgroup; what cannot be seen is unknown. Fills id. */
void hm_machine_read(hm_machine_record *out);

/* Bytes a new process may use: MemAvailable, bounded by what the cgroup has left. HM_UNKNOWN when /proc does not say. */
int64_t hm_memory_available(void);

/* Version, commit, compiler and flags as baked in at build time, and the hash of the running program's file. Fills id. */
hm_status hm_build_read(hm_build_record *out, hm_error *err);

/* Largest resident set so far and resident bytes of mapped files at or below two real paths (NULL or "": none) of this process. */
void hm_memory_of_self(const char *model, const char *packs, int64_t *peak_rss_bytes, int64_t *mapped_bytes);

#endif
