#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/isa.h"
#include "harness/commands.h"
#include "harness/engine_open.h"
#include "harness/module.h"
#include "harness/plan.h"
#include "harness/precision.h"
#include "harness/verify.h"

/* Prints rows as they come; a new file gets a heading. */
struct printer {
    char file[256];
    bool misses_only;
};

static void print_row(void *self, const hm_verify_row *r)
{
    struct printer *p = self;
    if (p->misses_only && r->outcome == HM_VERIFY_OK)
        return;
    if (strcmp(p->file, r->file)) {
        snprintf(p->file, sizeof p->file, "%s", r->file);
        printf("%s\n  %-32s %-16s %10s %10s %10s\n", r->file, "tensor", "shape", "max abs", "max rel", "tolerance");
    }
    if (r->outcome == HM_VERIFY_NOTE || r->tolerance < 0)
        printf("  %-32s %-16s %10s %10s %10s  %s\n", r->tensor, r->shape, "-", "-", r->outcome == HM_VERIFY_NOTE ? "-" : "exact", r->text);
    else
        printf("  %-32s %-16s %10.2e %10.2e %10.0e  %s\n", r->tensor, r->shape, r->max_abs, r->max_rel, r->tolerance, r->text);
}

static hm_status verify_variant(const hm_engine_choice *choice, const char *dir, bool run_manifests, bool misses_only, int *missed,
                                hm_error *err)
{
    const char *variant = choice->variant;
    char compiled[HM_MODEL_PATH];
    hm_module *module = NULL;
    struct printer printer = {.misses_only = misses_only};
    hm_status st = hm_module_open(&module, variant, err);
    if (st)
        return st;
    hm_verify verify = {.api = hm_module_api(module),
                        .toggles = hm_module_option(module),
                        .precision = hm_module_toggles(module),
                        .backend = choice->backend,
                        .device = choice->device,
                        .driver_cache = hm_compiled_folder(compiled),
                        .threads = (int)choice->threads,
                        .isa = choice->isa,
                        .run_manifests = run_manifests,
                        .self = &printer,
                        .row = print_row};
    printf("variant %s\n", variant);
    st = hm_verify_folder(&verify, dir, err);
    if (!st)
        printf("%s: %d compared, %d missed\n", variant, verify.compared, verify.missed);
    *missed += verify.missed;
    hm_module_close(&module);
    return st;
}

/* "all", or a list as suites take it. */
static hm_status named_variants(const char *text, char **buffer, hm_strings *list, hm_error *err)
{
    int n;
    const hm_variant_info *all = hm_variant_list(&n);
    if (strcmp(text, "all"))
        return hm_plan_split(text, buffer, list, err);
    for (int i = 0; i < n; i++)
        list->items[list->count++] = all[i].name;
    return HM_OK;
}

hm_status hm_cmd_verify(const hm_command *self, int argc, char **argv, hm_error *err)
{
    hm_engine_choice choice = {.variant = "best", .backend = "cpu"};
    bool run_manifests = false, misses_only = false, helped;
    char *buffer = NULL;
    hm_strings args = {0}, list = {0};
    const hm_option options[] = {
        {"variant", 'v', HM_OPT_STRING, &choice.variant, "V,...", "variants to verify, or all", 0, 0, NULL},
        HM_PRECISION_OPTION(&choice.precision),
        {"backend", 0, HM_OPT_STRING, &choice.backend, "NAME", "where to compute", 0, 0, hm_backend_choices},
        HM_DEVICE_OPTION(&choice.device),
        {"threads", 't', HM_OPT_INT, &choice.threads, "N", "threads; 0: all CPUs this process may use", 0, 1024, NULL},
        {"isa", 0, HM_OPT_STRING, &choice.isa, "ISA", HM_ISA_NAMES "; the best here when not given", 0, 0, NULL},
        {"run-manifests", 0, HM_OPT_FLAG, &run_manifests, NULL, "load and run models whose manifest has no goldens beside it", 0, 0, NULL},
        {"misses", 0, HM_OPT_FLAG, &misses_only, NULL, "print what misses only", 0, 0, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, &args, 1, &helped, err);
    if (st || helped)
        return st;
    if (args.count != 1)
        return hm_fail(err, HM_EUSAGE, "verify: expected a folder of goldens (hmbench verify --help)");
    int missed = 0;
    hm_strings asked = {{choice.variant}, 1};
    if (choice.device && !strcmp(choice.backend, "cpu"))
        return hm_device_alone(choice.device, err);
    st = hm_precision_apply_list(&choice.precision, &asked, "best", err);
    if (!st)
        st = named_variants(asked.items[0], &buffer, &list, err);
    for (int i = 0; i < list.count && !st; i++) {
        choice.variant = list.items[i];
        st = verify_variant(&choice, args.items[0], run_manifests, misses_only, &missed, err);
    }
    free(buffer);
    if (!st && missed)
        st = hm_fail(err, HM_EDIFFERS, "verify %s: %d results differ from the goldens", args.items[0], missed);
    return st;
}
