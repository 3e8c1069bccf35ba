/* Times of commands on the device, to a probe that wants them. A driver that times commands times them all; told are those that were asked
 * for while the probe wanted to know. */
#include "engine/base/time.h"
#include "engine/gpu/gpu_impl.h"

#define AT_ONCE 64

void hm_gpu_watch(const hm_ops *op)
{
    hm_device *dev = op->dev;
    bool wanted = op->probe && op->probe->device && (op->probe->wanted & HM_SPAN_DEVICE);
    if (!dev->shared->timestamps || wanted == dev->watching)
        return;
    dev->watching = wanted;
    if (wanted) {
        dev->stretch = (dev->stretch + 1) % HM_GPU_STRETCHES;
        dev->stretches[dev->stretch] = (hm_gpu_stretch){hm_now_ns(), INT64_MAX};
    } else
        dev->stretches[dev->stretch].to_ns = hm_now_ns();
}

static bool was_watched(const hm_device *dev, int64_t at_ns)
{
    for (int i = 0; i < HM_GPU_STRETCHES; i++)
        if (at_ns >= dev->stretches[i].from_ns && at_ns < dev->stretches[i].to_ns)
            return true;
    return false;
}

void hm_gpu_tell_times(const hm_ops *op)
{
    hm_device *dev = op->dev;
    hm_gpu_shared *s = dev->shared;
    hm_gpu_time times[AT_ONCE];
    int64_t replayed_ns = -1; /* the replay that the command before belongs to */
    for (int n = AT_ONCE; s->timestamps && n == AT_ONCE;) {
        hm_gpu_lock(dev);
        n = s->driver->take_times(s->gpu, dev->tag, times, AT_ONCE);
        hm_gpu_unlock(dev);
        for (int i = 0; i < n; i++) {
            const hm_gpu_time *t = &times[i];
            bool aside = t->kind == HM_DEVICE_WAIT || t->kind == HM_DEVICE_OVERHEAD, together = t->replayed && t->asked_ns == replayed_ns;
            hm_device_span span = {t->name, t->begin_ns, t->end_ns, aside || together ? -1 : t->asked_ns, t->bytes, t->stream, t->kind};
            if (!aside)
                replayed_ns = t->replayed ? t->asked_ns : -1;
            if (op->probe && op->probe->device && was_watched(dev, t->asked_ns))
                op->probe->device(op->probe->self, &span);
        }
    }
}
