/* Frames that are recorded once and replayed.
 *
 * A frame is cut into segments where something must wait or host memory is read. The first time commands go into a recording, which is then
 * replayed; afterwards the forward asks for the same and each command is compared with the one in its place. At the segment's end the
 * values of its steps and its constants go to the device in one copy, and the recording is replayed. A command that differs begins the
 * recording anew there: what came before it is recorded as it was, it and the rest as they are now. */
#include "engine/gpu/gpu_impl.h"

#include <stdlib.h>
#include <string.h>

static hm_gpu_segment *segment_of(hm_device *dev)
{
    return &dev->segments[dev->index];
}

static bool same_value(const hm_gpu_value *a, const hm_gpu_value *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case HM_GPU_POINTER:
        return a->pointer == b->pointer;
    case HM_GPU_I32:
        return a->i32 == b->i32;
    case HM_GPU_I64:
        return a->i64 == b->i64;
    case HM_GPU_F32:
        return !memcmp(&a->f32, &b->f32, sizeof a->f32);
    case HM_GPU_STEP:
        return true;
    }
    return false;
}

static bool same_command(const hm_gpu_segment *s, int at, const hm_gpu_asked *a, const hm_gpu_value *values)
{
    const hm_gpu_asked *b = &s->asked[at];
    if (a->kind != b->kind || a->to != b->to || a->from != b->from || a->bytes != b->bytes || a->pattern != b->pattern)
        return false;
    if (a->kind != HM_GPU_LAUNCHED)
        return true;
    if (a->kernel != b->kernel || memcmp(a->groups, b->groups, sizeof a->groups) || a->shared != b->shared || a->count != b->count)
        return false;
    for (int i = 0; i < a->count; i++)
        if (!same_value(&values[i], &s->values[b->first + i]))
            return false;
    return true;
}

/* --- inputs --- */

static int steps_of(const hm_gpu_asked *a, const hm_gpu_value *values)
{
    int steps = 0;
    for (int i = 0; a->kind == HM_GPU_LAUNCHED && i < a->count; i++)
        steps += values[i].kind == HM_GPU_STEP;
    return steps;
}

/* The next `bytes` of a segment's inputs; every time the same ones, when the same is asked for. */
static size_t next_input(hm_gpu_segment *s, size_t bytes)
{
    size_t align = bytes > sizeof(int64_t) ? 64 : sizeof(int64_t), at = (s->inputs_used + align - 1) / align * align;
    s->inputs_used = at + bytes;
    return at;
}

/* --- recording --- */

static hm_status open_inputs(hm_device *dev, hm_gpu_segment *s, hm_error *err)
{
    void *there;
    if (s->inputs_there)
        return HM_OK;
    s->inputs = s->inputs ? s->inputs : hm_calloc(1, HM_GPU_INPUTS, "steps of a frame", err);
    hm_status st = s->inputs ? hm_gpu_take_memory(dev, &there, HM_GPU_INPUTS, HM_GPU_DEVICE, err) : HM_EABSENT;
    s->inputs_there = st ? NULL : there;
    return st;
}

static void begin_recording(const hm_ops *op)
{
    hm_device *dev = op->dev;
    hm_gpu_lock(dev);
    hm_status st = dev->shared->driver->record(dev->shared->gpu, op->error);
    dev->holding = !st;
    dev->mode = st ? HM_GPU_DIRECT : HM_GPU_RECORDING;
    if (st)
        hm_gpu_unlock(dev);
}

/* A recording that may still be at work. */
static void drop_later(const hm_ops *op, hm_gpu_segment *s)
{
    hm_device *dev = op->dev;
    if (!s->recording)
        return;
    if (dev->dropped_count == HM_GPU_SEGMENTS)
        hm_gpu_wait_all(op);
    if (dev->dropped_count < HM_GPU_SEGMENTS)
        dev->dropped[dev->dropped_count++] = s->recording;
    s->recording = NULL;
}

/* What was recorded is whole; with op->error set it is of no use. */
static void end_recording(const hm_ops *op)
{
    hm_device *dev = op->dev;
    hm_gpu_segment *s = segment_of(dev);
    hm_error ignored = {0};
    hm_status st = dev->shared->driver->keep(dev->shared->gpu, &s->recording, hm_gpu_ready(op) ? op->error : &ignored);
    dev->holding = false;
    hm_gpu_unlock(dev);
    if (st)
        s->recording = NULL;
    if (!hm_gpu_ready(op)) {
        drop_later(op, s);
        s->count = 0;
    }
    op->count->recorded_frames += s->recording != NULL;
}

static bool grow(void **items, int *room, int need, size_t each, hm_error *err)
{
    if (need <= *room)
        return true;
    int wanted = need > 2 * *room ? need : 2 * *room;
    void *more = realloc(*items, (size_t)wanted * each);
    if (!more) {
        hm_fail(err, HM_EABSENT, "frame: no memory for %d recorded commands", wanted);
        return false;
    }
    *items = more;
    *room = wanted;
    return true;
}

/* Keeps a command, with places for its steps. */
static bool keep_command(const hm_ops *op, hm_gpu_segment *s, const hm_gpu_asked *a, const hm_gpu_value *values)
{
    int room = s->values_room, need = s->values_count + a->count;
    if (!grow((void **)&s->asked, &s->room, s->count + 1, sizeof *s->asked, op->error) ||
        !grow((void **)&s->places, &room, need, sizeof *s->places, op->error) ||
        !grow((void **)&s->values, &s->values_room, need, sizeof *s->values, op->error))
        return false;
    hm_gpu_asked *kept = &s->asked[s->count++];
    *kept = *a;
    kept->first = s->values_count;
    for (int i = 0; i < a->count; i++) {
        s->values[s->values_count] = values[i];
        s->places[s->values_count] = 0;
        if (values[i].kind == HM_GPU_STEP) {
            size_t at = next_input(s, sizeof(int64_t));
            s->places[s->values_count] = (int32_t)at;
            memcpy(s->inputs + at, &values[i].i64, sizeof values[i].i64);
        }
        s->values_count++;
    }
    return true;
}

/* To the device, or into the recording that is being made; steps come from the segment's inputs. */
static void record_kept(const hm_ops *op, const hm_gpu_segment *s, int at)
{
    const hm_gpu_asked *a = &s->asked[at];
    hm_gpu_issue(op, a, s->values + a->first, s->places + a->first, s->inputs_there);
}

/* --- segments --- */

static void begin_segment(const hm_ops *op)
{
    hm_device *dev = op->dev;
    hm_gpu_segment *s = segment_of(dev);
    s->inputs_used = 0;
    dev->at = 0;
    if (s->misses >= HM_GPU_MISSES && ++s->misses > HM_GPU_MISSES + HM_GPU_REST)
        s->misses = 0;
    if (s->recording)
        dev->mode = HM_GPU_MATCHING;
    else if (s->misses >= HM_GPU_MISSES || open_inputs(dev, s, op->error))
        dev->mode = HM_GPU_DIRECT;
    else {
        s->count = s->values_count = 0;
        begin_recording(op);
    }
}

/* Steps and constants of this frame to where kernels read them. */
static void send_inputs(const hm_ops *op, const hm_gpu_segment *s)
{
    if (!s->inputs_used)
        return;
    op->count->to_device_transfers++;
    hm_gpu_send(op, s->inputs_there, s->inputs, s->inputs_used);
}

/* The commands matched so far, with this frame's steps and constants, one by one. */
static void issue_matched(const hm_ops *op)
{
    hm_device *dev = op->dev;
    hm_gpu_segment *s = segment_of(dev);
    send_inputs(op, s);
    for (int i = 0; i < dev->at && hm_gpu_ready(op); i++)
        record_kept(op, s, i);
}

/* The commands matched so far are recorded anew, or done at once where that has been tried too often. */
static void begin_anew(const hm_ops *op)
{
    hm_device *dev = op->dev;
    hm_gpu_segment *s = segment_of(dev);
    drop_later(op, s);
    s->count = dev->at;
    s->values_count = dev->at ? s->asked[dev->at - 1].first + s->asked[dev->at - 1].count : 0;
    if (++s->misses >= HM_GPU_MISSES) {
        dev->mode = HM_GPU_DIRECT;
        issue_matched(op);
        return;
    }
    begin_recording(op);
    for (int i = 0; i < s->count && hm_gpu_ready(op); i++)
        record_kept(op, s, i);
}

static void replay(const hm_ops *op, bool again)
{
    hm_device *dev = op->dev;
    hm_gpu_segment *s = segment_of(dev);
    if (!hm_gpu_ready(op) || !s->recording)
        return;
    send_inputs(op, s);
    if (!hm_gpu_ready(op))
        return;
    hm_gpu_watch(op);
    hm_gpu_lock(dev);
    dev->shared->driver->replay(dev->shared->gpu, s->recording, op->error);
    hm_gpu_unlock(dev);
    dev->pending = true;
    if (again) {
        op->count->launches++;
        op->count->replayed_launches += (uint64_t)s->count;
        s->misses = 0;
    }
}

void hm_gpu_break(const hm_ops *op)
{
    hm_device *dev = op->dev;
    if (!dev->in_frame || dev->mode == HM_GPU_BEGINNING)
        return;
    hm_gpu_segment *s = segment_of(dev);
    bool again = dev->mode == HM_GPU_MATCHING && dev->at == s->count;
    if (dev->mode == HM_GPU_MATCHING && !again && hm_gpu_ready(op)) {
        if (s->misses + 1 < HM_GPU_MISSES) { /* fewer than usual, as in a last frame */
            s->misses++;
            issue_matched(op);
            dev->mode = HM_GPU_DIRECT;
        } else
            begin_anew(op);
    }
    if (dev->mode == HM_GPU_RECORDING)
        end_recording(op);
    if (dev->mode != HM_GPU_DIRECT)
        replay(op, again);
    dev->index += dev->index < HM_GPU_SEGMENTS - 1;
    dev->mode = dev->index < HM_GPU_SEGMENTS - 1 ? HM_GPU_BEGINNING : HM_GPU_DIRECT;
}

void hm_gpu_frame(const hm_ops *op, bool begins)
{
    hm_device *dev = op->dev;
    dev->between_marks = begins;
    if (!begins) {
        hm_gpu_break(op);
        dev->in_frame = false;
        dev->mode = HM_GPU_DIRECT;
    } else if (dev->records && hm_gpu_ready(op)) {
        dev->in_frame = true;
        dev->mode = HM_GPU_BEGINNING;
        dev->index = 0;
        dev->scratch.used = 0;
    }
}

/* Whether `bytes` more of inputs fit the segment at work; one that is full ends here. */
static bool make_room(const hm_ops *op, size_t bytes)
{
    hm_device *dev = op->dev;
    if (dev->mode == HM_GPU_BEGINNING)
        begin_segment(op);
    if (dev->mode == HM_GPU_DIRECT || !hm_gpu_ready(op))
        return false;
    if (segment_of(dev)->inputs_used + bytes + 64 <= HM_GPU_INPUTS)
        return true;
    hm_gpu_break(op);
    if (dev->mode == HM_GPU_BEGINNING)
        begin_segment(op);
    return dev->mode != HM_GPU_DIRECT && hm_gpu_ready(op);
}

bool hm_gpu_input(const hm_ops *op, size_t bytes, uint8_t **host, char **there)
{
    if (!op->dev->in_frame || !make_room(op, bytes))
        return false;
    hm_gpu_segment *s = segment_of(op->dev);
    size_t at = next_input(s, bytes > sizeof(int64_t) ? bytes : sizeof(int64_t) + 1);
    *host = s->inputs + at;
    *there = s->inputs_there + at;
    return true;
}

/* Whether this command is the one in its place; if so, values of its steps are this frame's. */
static bool match(hm_gpu_segment *s, int at, const hm_gpu_asked *asked, const hm_gpu_value *values)
{
    if (at >= s->count || !same_command(s, at, asked, values))
        return false;
    size_t before = s->inputs_used;
    for (int i = 0, first = s->asked[at].first; i < s->asked[at].count; i++)
        if (values[i].kind == HM_GPU_STEP) {
            size_t to = next_input(s, sizeof(int64_t));
            if (s->places[first + i] != (int32_t)to) { /* constants before it had another size */
                s->inputs_used = before;
                return false;
            }
            memcpy(s->inputs + to, &values[i].i64, sizeof values[i].i64);
        }
    return true;
}

void hm_gpu_ask(const hm_ops *op, const hm_gpu_asked *a, const hm_gpu_value *values)
{
    hm_device *dev = op->dev;
    if (!dev->in_frame || !make_room(op, (size_t)steps_of(a, values) * sizeof(int64_t))) {
        if (hm_gpu_ready(op))
            hm_gpu_issue(op, a, values, NULL, NULL);
        return;
    }
    hm_gpu_segment *s = segment_of(dev);
    if (dev->mode == HM_GPU_MATCHING) {
        if (match(s, dev->at, a, values)) {
            dev->at++;
            return;
        }
        begin_anew(op);
    }
    if (dev->mode == HM_GPU_DIRECT) {
        hm_gpu_issue(op, a, values, NULL, NULL);
    } else if (hm_gpu_ready(op) && keep_command(op, s, a, values))
        record_kept(op, s, s->count - 1);
}

void hm_gpu_segments_close(hm_device *dev)
{
    const hm_gpu_driver *driver = dev->shared->driver;
    for (int i = 0; i < HM_GPU_SEGMENTS; i++) {
        hm_gpu_segment *s = &dev->segments[i];
        hm_gpu_lock(dev);
        if (s->recording)
            driver->drop(dev->shared->gpu, &s->recording);
        hm_gpu_unlock(dev);
        hm_gpu_give_memory(dev, s->inputs_there);
        free(s->asked);
        free(s->values);
        free(s->places);
        free(s->inputs);
        *s = (hm_gpu_segment){0};
    }
}
