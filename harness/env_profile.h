/* What launchers of other programs set in the environment, as profiles for worker processes: --env-profile NAME. One table, with the source
 * of each row. Our engine reads no environment; drivers, loaders and arms that are other programs do. */
#ifndef HM_HARNESS_ENV_PROFILE_H
#define HM_HARNESS_ENV_PROFILE_H

#include <stddef.h>

#include "engine/base/error.h"

#define HM_ENV_TEXT 1024
enum {
    HM_ENV_MOST = 12 /* variables of a profile */
};

typedef struct hm_env_variable {
    const char *profile, *name, *value;
    const char *reader; /* who reads it, and what stands for it in hmbench where that is not the engine */
    const char *source;
} hm_env_variable;

/* Ended by a row without a name; rows of a profile follow each other. */
extern const hm_env_variable hm_env_variables[];
/* Profiles, NULL-terminated: "none", which sets nothing, is the first. */
extern const char *const hm_env_profiles[];
const char *hm_env_profile_text(const char *profile); /* what it is for */

/* HM_EUSAGE: none of this name. NULL and "" are none. */
hm_status hm_env_profile_check(const char *profile, hm_error *err);

/* "NAME=VALUE" of the profile into out, NULL-terminated; returns how many. The texts live in `room`. */
int hm_env_profile_words(const char *profile, const char *out[HM_ENV_MOST + 1], char room[HM_ENV_TEXT]);

/* What a worker process of this profile finds of all variables that matter to drivers, runtimes and profilers, ours and those that the user
 * has set: NAME=VALUE with blanks between, in a fixed order; "": none is set. Returns out. */
const char *hm_env_text(const char *profile, char *out, size_t size);

#endif
