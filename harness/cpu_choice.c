#include "harness/cpu_choice.h"

hm_status hm_cpu_choice_open(hm_device **out, const hm_cpu_choice *choice, hm_error *err)
{
    char near[HM_SUGGESTION];
    int isa = choice->isa ? hm_isa_parse(choice->isa) : (int)hm_isa_detect();
    if (isa < 0)
        return hm_fail(err, HM_EUSAGE, "isa: \"%s\" is unknown; expected " HM_ISA_NAMES "%s", choice->isa,
                       hm_did_you_mean(near, choice->isa, hm_isa_choices));
    return hm_cpu_open(out, (int)choice->threads, (hm_isa)isa, err);
}
