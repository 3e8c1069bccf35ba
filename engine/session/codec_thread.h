/* Decoding beside drawing: pieces of audio are decoded as soon as their codes are there, in order, either by the thread that draws
 * (decode=stream) or on a thread of its own with its own device (decode=overlap). What is left when the last frame is drawn, the drawing
 * thread decodes with all threads. The bytes are the same either way. */
#ifndef HM_ENGINE_SESSION_CODEC_THREAD_H
#define HM_ENGINE_SESSION_CODEC_THREAD_H

#include "engine/ctx.h"

typedef struct hm_codec_thread hm_codec_thread;

/* Decodes piece 0, 1, ... with the operations of c, which is not the same at every call; a failure goes to c->error. Never two at a time. */
typedef void (*hm_codec_work)(void *self, hm_ctx *c, int64_t piece);

/* own: on a thread of its own. Until finish, `c` then draws on the first half of its threads, and the pieces are decoded on the rest; with
 * one thread both have one. What pieces share with the drawing thread is theirs alone, but for what was written before their push. */
hm_status hm_codec_thread_start(hm_codec_thread **out, hm_ctx *c, bool own, hm_codec_work work, void *self, hm_error *err);

/* Pieces 0 .. ready-1 can be decoded. Without a thread of its own they are, now. A failure of a piece so far is c->error afterwards. */
void hm_codec_thread_push(hm_codec_thread *t, int64_t ready);

/* No more frames. The piece at work is waited for (telling progress and asking for interruption through c->probe), or, when c has failed,
 * stopped; those pushed and not begun are the caller's: *next is the first of them. Then c has all its threads again, its counters count
 * the thread's work as well, and a failure is c->error. *overlapped_ns: decoding done before this call. Closes; accepts NULL inside. */
void hm_codec_thread_finish(hm_codec_thread **t, int64_t *next, int64_t *overlapped_ns);

#endif
