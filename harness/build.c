/* What this program was built from. build_info.h is generated and rewritten only when it would differ (harness/build_info.cmake). */
#include <string.h>

#include "build_info.h"
#include "harness/machine.h"

hm_status hm_build_read(hm_build_record *b, hm_error *err)
{
    char text[1200];
    memset(b, 0, sizeof *b);
    snprintf(b->version, sizeof b->version, "%s", HM_VERSION);
    snprintf(b->git_commit, sizeof b->git_commit, "%s", HM_BUILD_COMMIT);
    b->git_dirty = HM_BUILD_DIRTY;
    snprintf(b->compiler, sizeof b->compiler, "%s", HM_BUILD_COMPILER);
    snprintf(b->flags, sizeof b->flags, "%s", HM_BUILD_FLAGS);
    snprintf(b->build_type, sizeof b->build_type, "%s", HM_BUILD_TYPE);
    snprintf(b->sanitizer, sizeof b->sanitizer, "%s", HM_BUILD_SANITIZER);
    hm_status st = hm_hash_file(b->binary_hash, "/proc/self/exe", err);
    if (st)
        return hm_fail_within(err, "build fingerprint");
    int n = snprintf(text, sizeof text, "%s\n%s %d\n%s\n%s\n%s %s\n%s", b->version, b->git_commit, b->git_dirty, b->compiler, b->flags,
                     b->build_type, b->sanitizer, b->binary_hash);
    hm_hash_text(b->id, text, (size_t)n);
    return HM_OK;
}
