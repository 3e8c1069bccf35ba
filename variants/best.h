/* The toggles of `best`, shared by the rows of variants.def that are `best` with one thing changed. */
#ifndef HM_VARIANTS_BEST_H
#define HM_VARIANTS_BEST_H

#define HM_BEST                                                                                                                  \
    .kv = HM_KV_PREALLOC, .mask = HM_MASK_NONE, .attn = HM_ATTN_FLASH, .gqa = HM_GQA_DIRECT, .rows = HM_ROWS_NEEDED,             \
    .cfg = HM_CFG_BATCHED, .sampling = HM_SAMPLING_FUSED, .codes = HM_CODES_DEFERRED, .token_forward = HM_TOKEN_DEVICE,          \
    .step_reset = HM_STEP_HOISTED, .precompute = HM_PRECOMPUTE_ONCE, .fuse = HM_FUSE_ALL, .decode = HM_DECODE_CHUNKED,           \
    .load = HM_WEIGHTS_MMAP

#endif
