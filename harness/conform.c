#include "harness/conform.h"

#include <stdlib.h>
#include <string.h>

#include "harness/process.h"
#include "harness/progress.h"

static const int64_t END_NS = 5000000000;

typedef struct check {
    const hm_conform *o;
    hm_process *process;
    int failed;
    bool over; /* nothing more can be asked */
    char words[512];
    hm_opened opened;
    hm_stored_codes made;
} check;

static void found(check *k, bool good, const char *what)
{
    k->failed += !good;
    k->o->finding(k->o->self, good, what, k->words);
    k->words[0] = 0;
}

__attribute__((format(printf, 2, 3))) static bool wrong(check *k, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(k->words, sizeof k->words, format, args);
    va_end(args);
    return false;
}

/* The next message but progress; NULL: k->words say why, and it is over. New reference. */
static json_t *hear(check *k)
{
    const char *line;
    size_t size;
    for (int64_t deadline = hm_clock_now(hm_clock_real()) + k->o->timeout_ns;;) {
        hm_error err = {0};
        json_t *message = NULL;
        hm_read got = hm_process_read(k->process, deadline, hm_interrupted, &line, &size);
        if (got == HM_READ_LINE && !hm_proto_parse(&message, line, size, &err)) {
            if (strcmp(hm_proto_type(message), "progress"))
                return message;
            json_decref(message);
            continue;
        }
        const char *last = hm_process_last_words(k->process);
        k->over = true;
        if (got == HM_READ_LINE)
            wrong(k, "%s", err.text);
        else if (got == HM_READ_END)
            wrong(k, "it ended before its answer%s%s", *last ? ": " : "", last);
        else
            wrong(k, got == HM_READ_TIMEOUT ? "no answer within %.0f s" : "no answer", (double)k->o->timeout_ns * 1e-9);
        return NULL;
    }
}

/* Takes the reference of message. */
static json_t *ask(check *k, json_t *message)
{
    hm_error err = {0};
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    json_decref(message);
    hm_status st =
        text ? hm_process_send(k->process, text, strlen(text), &err) : hm_fail(&err, HM_EFORMAT, "a text of the case is not UTF-8");
    free(text);
    if (!st)
        return hear(k);
    k->over = true;
    wrong(k, "it takes no message: %s", err.text);
    return NULL;
}

/* Whether the answer is of this type; takes the reference unless it is. */
static json_t *of_type(check *k, json_t *message, const char *type)
{
    const char *is = message ? hm_proto_type(message) : type, *text = json_string_value(json_object_get(message, "text"));
    if (!strcmp(is, type))
        return message;
    wrong(k, "answered \"%.40s\"%s%.300s where \"%s\" was expected", is, text ? ": " : "", text ? text : "", type);
    json_decref(message);
    return NULL;
}

/* An error with a code and a sentence. */
static void refuses(check *k, json_t *message, const char *what)
{
    json_t *answer = of_type(k, ask(k, message), "error");
    const char *text = json_string_value(json_object_get(answer, "text"));
    json_t *code = json_object_get(answer, "code");
    bool good = answer && text && *text && json_is_integer(code) && json_integer_value(code) > 0 && json_integer_value(code) < 256;
    if (answer && !good)
        wrong(k, "its \"error\" needs \"code\", an exit code, and \"text\", a sentence");
    else if (good)
        wrong(k, "%.400s", text);
    json_decref(answer);
    found(k, good, what);
}

static void greet(check *k)
{
    hm_hello hello;
    hm_error err = {0};
    json_t *answer = of_type(k, ask(k, hm_proto_hello()), "hello");
    bool good = answer && (!hm_proto_read_hello(answer, &hello, &err) || wrong(k, "%s", err.text));
    if (good && !hm_hello_knows(&hello, k->o->c->task))
        good = wrong(k, "it makes %s alone, the model makes %s", hello.tasks, k->o->c->task);
    else if (good)
        wrong(k, "%.120s%s%.60s", hello.name, *hello.tasks ? ", makes " : "", hello.tasks);
    json_decref(answer);
    found(k, good, "greets in this version");
    k->over = k->over || !good;
}

static void open_model(check *k)
{
    hm_error err = {0};
    hm_open_order order = {.model = k->o->model, .backend = k->o->backend};
    json_t *answer = of_type(k, ask(k, hm_proto_open(&order, "open", NULL)), "opened");
    bool good = answer && (!hm_proto_read_opened(answer, &k->opened, &err) || wrong(k, "%s", err.text));
    if (good)
        wrong(k, "%d threads, %s fed back", k->opened.threads, k->opened.stored_codes ? "codes are" : "no codes are");
    json_decref(answer);
    found(k, good, "opens the model");
    k->over = k->over || !good;
}

/* Samples until "done": of the order, in order, and to be believed. */
static bool samples(check *k, const hm_run_order *order, int *warm, int *timed, hm_sample *last)
{
    int64_t start = hm_clock_now(hm_clock_real());
    json_t *message = ask(k, hm_proto_run(order));
    for (*warm = *timed = 0; message; message = hear(k)) {
        hm_error err = {0};
        bool done = !strcmp(hm_proto_type(message), "done");
        if (!done && !(message = of_type(k, message, "sample")))
            return false;
        if (!done)
            hm_stored_codes_free(&k->made);
        hm_status st = done ? HM_OK : hm_proto_read_sample(message, order, hm_clock_now(hm_clock_real()) - start, last, &k->made, &err);
        json_decref(message);
        if (done)
            return *timed || wrong(k, "\"done\" without a timed sample");
        if (st)
            return wrong(k, "%s", err.text);
        if (last->warmup && *timed)
            return wrong(k, "a warm-up came after a timed sample");
        *warm += last->warmup;
        *timed += !last->warmup;
    }
    return false;
}

static void run_case(check *k)
{
    int warm, timed;
    hm_sample *s = calloc(1, sizeof *s);
    hm_run_order order = {.c = *k->o->c, .warmup = "first", .want_codes = true};
    bool good = s && samples(k, &order, &warm, &timed, s);
    if (good && timed != 1)
        good = wrong(k, "%d timed samples, one was asked for", timed);
    else if (good)
        wrong(k, "%d warm-up%s, %.3f s%s", warm, warm == 1 ? "" : "s", (double)s->wall_ns * 1e-9, k->made.codes ? ", with codes" : "");
    found(k, good, "runs a case: warm-up, one timed sample, figures that can be true");
    k->over = !good; /* what comes next may still be of this order */
    free(s);
}

/* Codes that are not its own: it has to go on with them, and to report what it drew. */
static void feed_codes(check *k)
{
    int warm, timed;
    hm_sample *s = calloc(1, sizeof *s);
    hm_stored_codes fed = k->made;
    memset(&k->made, 0, sizeof k->made);
    hm_run_order order = {.c = *k->o->c, .warmup = "none", .want_codes = true, .codes = &fed};
    for (int i = 0; i < fed.frames * fed.codebooks; i++)
        fed.codes[i] = fed.codes[i] > 0 ? fed.codes[i] - 1 : 1;
    bool good = s && samples(k, &order, &warm, &timed, s);
    if (good && warm)
        good = wrong(k, "a warm-up came that was not asked for");
    else if (good && s->fed_codes != 1)
        good = wrong(k, "\"fed_codes\" of the sample is not 1");
    else if (good && !k->made.codes)
        good = wrong(k, "what it drew did not come back");
    found(k, good, "goes on with the codes it is given");
    k->over = !good; /* what comes next may still be of this order */
    hm_stored_codes_free(&fed);
    free(s);
}

static void iterate(check *k)
{
    int warm, timed;
    hm_sample *s = calloc(1, sizeof *s);
    hm_run_order order = {.c = *k->o->c, .warmup = "none", .iterations = 2};
    bool good = s && samples(k, &order, &warm, &timed, s);
    if (good && timed > 2)
        good = wrong(k, "%d samples, two were asked for", timed);
    else if (good && timed == 1)
        wrong(k, "knows of no iterations: one sample");
    found(k, good, "sends no more samples than asked for");
    free(s);
}

static void finish(check *k)
{
    int code = 0;
    static const char line[] = "{\"type\":\"close\"}";
    int64_t start = hm_clock_now(hm_clock_real());
    bool told = !k->over && !hm_process_send(k->process, line, strlen(line), NULL);
    hm_process_end(&k->process, told ? END_NS : 0, &code);
    if (!told)
        return;
    bool late = hm_clock_now(hm_clock_real()) - start >= END_NS;
    if (late)
        wrong(k, "still there after %.0f s", (double)END_NS * 1e-9);
    else if (code)
        wrong(k, "exit code %d", code);
    found(k, !late && !code, "ends when it is told to");
}

hm_status hm_conform_run(const hm_conform *o, int *failed, hm_error *err)
{
    check k = {.o = o};
    char *argv[] = {"/bin/sh", "-c", (char *)o->command, NULL};
    hm_open_order nowhere = {.model = "/there/is/no/such/folder", .backend = o->backend};
    hm_run_order early = {.c = *o->c, .warmup = "none"};
    hm_status st = hm_process_start(&k.process, argv, err);
    if (st)
        return st;
    greet(&k);
    if (!k.over)
        refuses(&k, json_pack("{s:s}", "type", "nothing-like-it"), "answers a message that it does not know with an error");
    if (!k.over)
        refuses(&k, hm_proto_run(&early), "answers \"run\" before \"open\" with an error");
    if (!k.over)
        refuses(&k, hm_proto_open(&nowhere, "open", NULL), "answers a folder that is not there with an error");
    if (!k.over)
        open_model(&k);
    if (!k.over)
        run_case(&k);
    if (!k.over && k.opened.stored_codes && k.made.codes)
        feed_codes(&k);
    if (!k.over)
        iterate(&k);
    finish(&k);
    hm_stored_codes_free(&k.made);
    *failed = k.failed;
    return hm_interrupted() ? hm_fail(err, HM_EINTERRUPTED, "interrupted") : HM_OK;
}
