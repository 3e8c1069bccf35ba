/* Threads and instruction set, for commands that use the CPU backend without a model. */
#ifndef HM_HARNESS_CPU_CHOICE_H
#define HM_HARNESS_CPU_CHOICE_H

#include "engine/cpu/cpu.h"
#include "harness/engine_open.h"

typedef struct hm_cpu_choice {
    int64_t threads; /* 0: all CPUs this process may use */
    const char *isa; /* NULL: the best here */
} hm_cpu_choice;

#define HM_CPU_CHOICE_OPTIONS(c)                                                                                                \
    {"threads", 't', HM_OPT_INT, &(c).threads, "N", "threads; 0: all CPUs this process may use", 0, 1024, NULL},                \
    {                                                                                                                           \
        "isa", 0, HM_OPT_STRING, &(c).isa, "NAME", "instruction set at most (the best here if not given)", 0, 0, hm_isa_choices \
    }

/* HM_EABSENT: this CPU does not have the instruction set. */
hm_status hm_cpu_choice_open(hm_device **out, const hm_cpu_choice *choice, hm_error *err);

#endif
