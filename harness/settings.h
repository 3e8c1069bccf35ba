/* Named settings of a request, as the guide of the XPU fork has them: --settings speed|quality|long. Explicit options win. */
#ifndef HM_HARNESS_SETTINGS_H
#define HM_HARNESS_SETTINGS_H

#include "harness/options.h"
#include "harness/store.h"

typedef struct hm_settings {
    const char *name, *text;
    double cfg, temperature; /* of music; temperature of speech's talker, too */
    int topk;
    double seconds; /* length at most; in suites, whose lengths are forced, of `long` alone */
    bool longest;   /* it is about length: sampling stays as it is */
} hm_settings;

enum {
    HM_SETTINGS = 3
};
extern const hm_settings hm_settings_list[HM_SETTINGS];
extern const char *const hm_settings_names[HM_SETTINGS + 1]; /* NULL at the end */

/* NULL: none of this name. */
const hm_settings *hm_settings_find(const char *name);
/* A case of a suite becomes that of the settings. */
void hm_settings_apply(const hm_settings *settings, hm_case_record *c);
/* The --settings of a command line, found before its options are parsed, so that they are the defaults of these; NULL: none, or none of
 * this name (which parsing tells). */
const hm_settings *hm_settings_given(int argc, char **argv);

#define HM_SETTINGS_OPTION(value)                                                                                                        \
    {                                                                                                                                    \
        "settings", 0, HM_OPT_STRING, value, "NAME", "of sampling and length together (hmbench list settings); explicit options win", 0, \
            0, hm_settings_names                                                                                                         \
    }

#endif
