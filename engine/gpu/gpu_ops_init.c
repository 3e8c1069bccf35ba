#include "engine/gpu/gpu_ops_init.h"

#include "engine/gpu/driver.h"

void hm_gpu_ops_init(hm_ctx *c)
{
    hm_gpu_ops_reference(&c->ops, c->dev, &c->counters, c->probe, &c->error);
    c->ops.places = &c->places;
    c->ops.attention = hm_t(c)->attn == HM_ATTN_FLASH ? hm_gpu_attention_flash : hm_gpu_attention_scores;
    hm_gpu_record_frames(c->dev, hm_t(c)->launch != HM_LAUNCH_EACH);
    hm_gpu_begin_early(c->dev, hm_t(c)->launch == HM_LAUNCH_EARLY);
}
