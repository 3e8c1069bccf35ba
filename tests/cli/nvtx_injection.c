/* A profiler for tests: NVTX loads it where $NVTX_INJECTION64_PATH names it. At exit $HM_NVTX_REPORT gets a line per place in the tree of ranges:
 * category, path, count; then what was wrong: ranges that ended without a begin, that never ended, without a known category or version. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nvtx3/nvToolsExt.h>

#define PLACES 4096
#define DEPTH 64
#define PATH 256
#define EXPORT __attribute__((visibility("default")))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    char path[PATH], category[16];
    long count;
} places[PLACES];
static int place_count;
static char domain[32], names[256][16];
static long wrong, unended, payloads;

static __thread char stack[DEPTH][PATH];
static __thread int depth;

static void count(const char *path, const char *category)
{
    int i = 0;
    pthread_mutex_lock(&lock);
    while (i < place_count && (strcmp(places[i].path, path) || strcmp(places[i].category, category)))
        i++;
    if (i == PLACES)
        wrong++;
    else {
        if (i == place_count) {
            snprintf(places[i].path, PATH, "%s", path);
            snprintf(places[i].category, sizeof places[i].category, "%s", category);
            place_count++;
        }
        places[i].count++;
    }
    unended++;
    pthread_mutex_unlock(&lock);
}

static nvtxDomainHandle_t NVTX_API domain_create(const char *name)
{
    snprintf(domain, sizeof domain, "%s", name);
    return (nvtxDomainHandle_t)(void *)domain;
}

static void NVTX_API name_category(nvtxDomainHandle_t d, uint32_t category, const char *name)
{
    if (d == (nvtxDomainHandle_t)(void *)domain && category < 256)
        snprintf(names[category], sizeof names[category], "%s", name);
    else
        wrong++;
}

static int NVTX_API push(nvtxDomainHandle_t d, const nvtxEventAttributes_t *a)
{
    if (d != (nvtxDomainHandle_t)(void *)domain || a->version != NVTX_VERSION || a->size != sizeof *a || a->category > 255 ||
        !names[a->category][0] || a->messageType != NVTX_MESSAGE_TYPE_ASCII || depth == DEPTH) {
        wrong++;
        return -1;
    }
    snprintf(stack[depth], PATH, "%s%s%s", depth ? stack[depth - 1] : "", depth ? "/" : "", a->message.ascii);
    count(stack[depth], names[a->category]);
    payloads += a->payloadType == NVTX_PAYLOAD_TYPE_INT64;
    return depth++;
}

static int NVTX_API pop(nvtxDomainHandle_t d)
{
    pthread_mutex_lock(&lock);
    if (d != (nvtxDomainHandle_t)(void *)domain || !depth)
        wrong++;
    else
        unended--;
    pthread_mutex_unlock(&lock);
    return depth ? --depth : -1;
}

__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("HM_NVTX_REPORT");
    FILE *f = path ? fopen(path, "w") : NULL;
    if (!f)
        return;
    fprintf(f, "domain %s\n", domain);
    for (int i = 0; i < place_count; i++)
        fprintf(f, "%s %s %ld\n", places[i].category, places[i].path, places[i].count);
    fprintf(f, "payloads %ld\nunended %ld\nwrong %ld\n", payloads, unended, wrong);
    fclose(f);
}

EXPORT int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get);
EXPORT int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get)
{
    uint32_t size = 0;
    NvtxFunctionTable table = NULL;
    const NvtxExportTableCallbacks *callbacks = get(NVTX_ETID_CALLBACKS);
    if (!callbacks || !callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size) || size <= NVTX_CBID_CORE2_DomainCreateA)
        return 0;
    *table[NVTX_CBID_CORE2_DomainCreateA] = (NvtxFunctionPointer)domain_create;
    *table[NVTX_CBID_CORE2_DomainNameCategoryA] = (NvtxFunctionPointer)name_category;
    *table[NVTX_CBID_CORE2_DomainRangePushEx] = (NvtxFunctionPointer)push;
    *table[NVTX_CBID_CORE2_DomainRangePop] = (NvtxFunctionPointer)pop;
    return 1;
}
