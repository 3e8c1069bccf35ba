/* The toggles of `best`, shared by the rows of variants.def that are `best` with one thing changed. */
#ifndef HM_VARIANTS_BEST_H
#define HM_VARIANTS_BEST_H

#define HM_BEST_BUT_DECODE HM_BEST_ROWS, .panels = HM_PANELS_PACKED
#define HM_BEST_ROWS                                                                                                        \
    .kv = HM_KV_PREALLOC, .mask = HM_MASK_NONE, .attn = HM_ATTN_FLASH, .gqa = HM_GQA_DIRECT, .rows = HM_ROWS_NEEDED,        \
    .cfg = HM_CFG_BATCHED, .uncond = HM_UNCOND_ONE, .sampling = HM_SAMPLING_FUSED, .codes = HM_CODES_DEFERRED,              \
    .token_forward = HM_TOKEN_DEVICE, .step_reset = HM_STEP_HOISTED, .precompute = HM_PRECOMPUTE_ONCE, .fuse = HM_FUSE_ALL, \
    .penalty = HM_PENALTY_BITMAP, .suppress = HM_SUPPRESS_CONSTANT, .load = HM_WEIGHTS_MMAP, .sync = HM_SYNC_AHEAD,         \
    .launch = HM_LAUNCH_RECORDED
#define HM_BEST HM_BEST_BUT_DECODE, .decode = HM_DECODE_STREAM

/* The published journal's ladder: an engine without framework waste, and what its six optimisations added one after the other. */
#define HM_BASELINE                                                                                                                       \
    .gqa = HM_GQA_DIRECT, .rows = HM_ROWS_NEEDED, .cfg = HM_CFG_BATCHED, .step_reset = HM_STEP_HOISTED, .precompute = HM_PRECOMPUTE_ONCE, \
    .load = HM_WEIGHTS_MMAP
#define HM_OPT3 HM_BASELINE, .sampling = HM_SAMPLING_FUSED, .sync = HM_SYNC_FRAME
#define HM_OPT4 HM_OPT3, .mask = HM_MASK_NONE, .suppress = HM_SUPPRESS_CONSTANT
#define HM_OPT5 HM_OPT4, .kv = HM_KV_PREALLOC, .token_forward = HM_TOKEN_DEVICE

#endif
