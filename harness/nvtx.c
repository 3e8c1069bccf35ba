#include "harness/nvtx.h"

#include <pthread.h>
#include <stdlib.h>

#include <nvtx3/nvToolsExt.h>

#define SPANS (HM_SPAN_PHASE | HM_SPAN_STEP | HM_SPAN_PART | HM_SPAN_OP | HM_SPAN_WAIT | HM_SPAN_TEAM)

/* Ranges of a thread lie within one another, so the decoder's thread has a watcher of its own. */
typedef struct watcher {
    hm_probe probe;
    const hm_probe *inner; /* NULL: nobody else looks */
} watcher;

struct hm_nvtx {
    watcher engine, decoder;
};

static nvtxDomainHandle_t domain; /* NULL: no profiler */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const struct {
    hm_span_kind kind;
    const char *name;
} categories[] = {{HM_SPAN_PHASE, "phase"}, {HM_SPAN_STEP, "step"}, {HM_SPAN_PART, "part"},
                  {HM_SPAN_OP, "op"},       {HM_SPAN_WAIT, "wait"}, {HM_SPAN_TEAM, "team"}};

static void look_for_profiler(void)
{
    domain = nvtxDomainCreateA("hmbench");
    for (size_t i = 0; domain && i < sizeof categories / sizeof *categories; i++)
        nvtxDomainNameCategoryA(domain, categories[i].kind, categories[i].name);
}

static void push(hm_span_kind kind, const char *name, int64_t index)
{
    nvtxEventAttributes_t a = {.version = NVTX_VERSION,
                               .size = NVTX_EVENT_ATTRIB_STRUCT_SIZE,
                               .category = kind,
                               .messageType = NVTX_MESSAGE_TYPE_ASCII,
                               .message.ascii = name};
    if (index >= 0) {
        a.payloadType = NVTX_PAYLOAD_TYPE_INT64;
        a.payload.llValue = index;
    }
    nvtxDomainRangePushEx(domain, &a);
}

/* What the other one wants changes as spans go by. */
static void follow(watcher *w)
{
    w->probe.wanted = SPANS | (w->inner ? w->inner->wanted : 0);
}

static void on_begin(void *self, hm_span_kind kind, const char *name, int64_t index)
{
    watcher *w = self;
    push(kind, name, index);
    hm_span_begin(w->inner, kind, name, index);
    follow(w);
}

static void on_end(void *self, hm_span_kind kind, const char *name)
{
    watcher *w = self;
    hm_span_end(w->inner, kind, name);
    nvtxDomainRangePop(domain);
    follow(w);
}

static void on_tap(void *self, const hm_tap_value *value)
{
    const watcher *w = self;
    w->inner->tap(w->inner->self, value);
}

static int on_progress(void *self, const char *phase, int64_t done, int64_t total)
{
    const watcher *w = self;
    return w->inner->progress(w->inner->self, phase, done, total);
}

static void on_device(void *self, const hm_device_span *span)
{
    const watcher *w = self;
    w->inner->device(w->inner->self, span);
}

static void watch(watcher *w, const hm_probe *inner)
{
    w->inner = inner;
    w->probe = (hm_probe){.self = w, .begin = on_begin, .end = on_end};
    if (inner && inner->tap)
        w->probe.tap = on_tap;
    if (inner && inner->progress)
        w->probe.progress = on_progress;
    if (inner && inner->device)
        w->probe.device = on_device;
    follow(w);
}

hm_status hm_nvtx_open(hm_nvtx **out, const hm_probe *inner, hm_error *err)
{
    *out = NULL;
    pthread_once(&once, look_for_profiler);
    if (!domain)
        return HM_OK;
    hm_nvtx *n = hm_calloc(1, sizeof *n, "ranges of NVTX", err);
    if (!n)
        return HM_EABSENT;
    watch(&n->engine, inner);
    watch(&n->decoder, inner ? inner->beside : NULL);
    n->engine.probe.beside = &n->decoder.probe;
    *out = n;
    return HM_OK;
}

void hm_nvtx_close(hm_nvtx **nvtx)
{
    free(*nvtx);
    *nvtx = NULL;
}

const hm_probe *hm_nvtx_probe(const hm_nvtx *nvtx)
{
    return &nvtx->engine.probe;
}
