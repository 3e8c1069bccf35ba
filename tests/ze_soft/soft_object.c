/* Handles: what they are of, whether it lives. */
#include "tests/ze_soft/soft.h"

#include <stdlib.h>

#define MAGIC 0x68736f66u
#define KEPT 4096 /* destroyed objects whose use still shows */

static struct {
    pthread_mutex_t lock;
    uint64_t alive[SOFT_KINDS];
    void *dead[KEPT];
    size_t next;
} objects = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const kind_names[SOFT_KINDS] = {
    [SOFT_CONTEXT] = "context", [SOFT_MODULE] = "module",         [SOFT_BUILD_LOG] = "build log",
    [SOFT_KERNEL] = "kernel",   [SOFT_EVENT_POOL] = "event pool", [SOFT_EVENT] = "event",
    [SOFT_LIST] = "list",       [SOFT_QUEUE] = "queue",           [SOFT_FENCE] = "fence",
};

const char *hm_soft_kind_name(soft_kind kind)
{
    return kind_names[kind];
}

void *hm_soft_new(soft_kind kind, size_t bytes)
{
    soft_object *o = calloc(1, bytes);
    if (!o)
        return NULL;
    *o = (soft_object){.magic = MAGIC, .kind = kind, .alive = true};
    pthread_mutex_lock(&objects.lock);
    objects.alive[kind]++;
    pthread_mutex_unlock(&objects.lock);
    return o;
}

void hm_soft_retire(void *object)
{
    soft_object *o = object;
    pthread_mutex_lock(&objects.lock);
    o->alive = false;
    objects.alive[o->kind]--;
    free(objects.dead[objects.next]);
    objects.dead[objects.next] = o;
    objects.next = (objects.next + 1) % KEPT;
    pthread_mutex_unlock(&objects.lock);
}

ze_result_t hm_soft_take(void **out, const void *handle, soft_kind kind)
{
    const soft_object *o = handle;
    if (!o) {
        hm_soft_misuse("%s: the handle is NULL", kind_names[kind]);
        return ZE_RESULT_ERROR_INVALID_NULL_HANDLE;
    }
    if (o->magic != MAGIC)
        return hm_soft_misuse("%s: %p is no handle", kind_names[kind], handle);
    if (o->kind != kind)
        return hm_soft_misuse("%s: the handle is of another thing, %s", kind_names[kind], kind_names[o->kind]);
    if (!o->alive)
        return hm_soft_misuse("%s: it was destroyed", kind_names[kind]);
    *out = (void *)handle;
    return ZE_RESULT_SUCCESS;
}

uint64_t hm_soft_objects_alive(soft_kind kind)
{
    pthread_mutex_lock(&objects.lock);
    uint64_t alive = objects.alive[kind];
    pthread_mutex_unlock(&objects.lock);
    return alive;
}

ze_result_t hm_soft_stype(const void *structure, int expected, const char *what)
{
    if (!structure) {
        hm_soft_misuse("%s is NULL", what);
        return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
    }
    int stype = *(const int *)structure;
    return stype == expected ? ZE_RESULT_SUCCESS : hm_soft_misuse("stype of %s is 0x%x, not 0x%x", what, stype, expected);
}

__attribute__((destructor)) static void forget(void)
{
    for (size_t i = 0; i < KEPT; i++)
        free(objects.dead[i]);
}
