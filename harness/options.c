#include "harness/options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/words.h"
#include "harness/color.h"
#include "harness/command.h"

#define MAX_OPTIONS 64
#define HELP_COLUMN 30 /* where the text of an option starts */
#define HELP_WIDTH 110

/* Help --------------------------------------------------------------------------------------------------------------------------- */

static void print_duration(FILE *f, int64_t s)
{
    if (s && s % 3600 == 0)
        fprintf(f, "%" PRId64 "h", s / 3600);
    else if (s && s % 60 == 0)
        fprintf(f, "%" PRId64 "m", s / 60);
    else
        fprintf(f, "%" PRId64 "s", s);
}

static bool bounded(const hm_option *o)
{
    return (o->kind == HM_OPT_INT || o->kind == HM_OPT_DOUBLE || o->kind == HM_OPT_DURATION) && (o->min != 0 || o->max != 0);
}

/* "1 to 100", "0 or more"; false when any number will do. */
static bool print_range(FILE *f, const hm_option *o)
{
    if (!bounded(o))
        return false;
    if (o->max >= HM_OPTION_NO_MAX)
        fprintf(f, "%.15g or more", o->min);
    else
        fprintf(f, "%.15g to %.15g", o->min, o->max);
    return true;
}

static bool has_default(const hm_option *o)
{
    switch (o->kind) {
    case HM_OPT_FLAG:
        return *(const bool *)o->value;
    case HM_OPT_STRING:
        return *(const char *const *)o->value != NULL;
    case HM_OPT_DOUBLE:
        return !isnan(*(const double *)o->value);
    case HM_OPT_INT:
    case HM_OPT_DURATION:
        return true;
    case HM_OPT_LIST:
        break;
    }
    return false;
}

static void print_default(FILE *f, const hm_option *o)
{
    switch (o->kind) {
    case HM_OPT_FLAG:
        fprintf(f, "on; --no-%s turns it off", o->name);
        return;
    case HM_OPT_INT:
        fprintf(f, "default %" PRId64, *(const int64_t *)o->value);
        return;
    case HM_OPT_DOUBLE:
        fprintf(f, "default %g", *(const double *)o->value);
        return;
    case HM_OPT_DURATION:
        fputs("default ", f);
        print_duration(f, *(const int64_t *)o->value);
        return;
    case HM_OPT_STRING:
        fprintf(f, "default %s", *(const char *const *)o->value);
        return;
    case HM_OPT_LIST:
        return;
    }
}

/* The option's text and, in parentheses, what values it takes and what it is without being given. */
static void print_option_text(FILE *f, const hm_option *o)
{
    fputs(o->text, f);
    bool any = o->choices != NULL || o->kind == HM_OPT_LIST || has_default(o) || bounded(o);
    if (!any)
        return;
    fputs(" (", f);
    for (int i = 0; o->choices && o->choices[i]; i++)
        fprintf(f, "%s%s", i ? ", " : "", o->choices[i]);
    bool before = print_range(f, o) || o->choices;
    if (o->kind == HM_OPT_LIST)
        fputs("may be given again", f);
    if (has_default(o)) {
        fputs(before ? "; " : "", f);
        print_default(f, o);
    }
    fputc(')', f);
}

/* text, broken at spaces, its lines after the first indented to HELP_COLUMN. */
static void print_wrapped(FILE *f, const char *text, int column)
{
    bool first = true;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (!first && column + 1 + (int)word > HELP_WIDTH) {
            fprintf(f, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        } else if (!first) {
            fputc(' ', f);
            column++;
        }
        fwrite(text, 1, word, f);
        column += (int)word;
        first = false;
        text += word + strspn(text + word, " ");
    }
    fputc('\n', f);
}

static void print_option(FILE *f, const hm_option *o)
{
    char *text = NULL;
    size_t size = 0;
    int used = o->letter ? fprintf(f, "  -%c, --%s", o->letter, o->name) : fprintf(f, "      --%s", o->name);
    if (o->kind != HM_OPT_FLAG)
        used += fprintf(f, " %s", o->metavar ? o->metavar : "VALUE");
    if (used < HELP_COLUMN - 1)
        used += fprintf(f, "%*s", HELP_COLUMN - used, "");
    else
        used = fprintf(f, "\n%*s", HELP_COLUMN, "") - 1;
    FILE *memory = open_memstream(&text, &size);
    if (memory) {
        print_option_text(memory, o);
        fclose(memory);
    }
    print_wrapped(f, text ? text : o->text, used);
    free(text);
}

static void print_lines(FILE *f, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        fprintf(f, "  %.*s\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static void print_help(const hm_command *command, const hm_option *options)
{
    bool off = false;
    const hm_option help = {"help", 'h', HM_OPT_FLAG, &off, NULL, "this text", 0, 0, NULL};
    const hm_option plain = {"no-color", 0, HM_OPT_FLAG, &off, NULL, "no colours (NO_COLOR in the environment says so too)", 0, 0, NULL};
    printf("hmbench %s: %s\n\nusage:\n", command->name, command->text);
    for (const char *p = command->usage; *p;) {
        size_t n = strcspn(p, "\n");
        printf("  hmbench %.*s\n", (int)n, p);
        p += n + (p[n] == '\n');
    }
    printf("\noptions:\n");
    for (const hm_option *o = options; o && o->name; o++)
        print_option(stdout, o);
    print_option(stdout, &plain);
    print_option(stdout, &help);
    if (command->examples && *command->examples) {
        printf("\nexamples:\n");
        print_lines(stdout, command->examples);
    }
}

static FILE *list_file; /* NULL: stdout */
static hm_option_listing list_form;

void hm_options_list_to(FILE *file, hm_option_listing listing)
{
    list_file = file;
    list_form = listing;
}

void hm_roff_put(const char *text, FILE *f)
{
    for (const char *p = text; *p; p++) {
        bool start = p == text || p[-1] == '\n';
        if (start && (*p == '.' || *p == '\''))
            fputs("\\&", f);
        if (*p == '\\')
            fputs("\\e", f);
        else if (*p == '-')
            fputs("\\-", f);
        else
            fputc(*p, f);
    }
}

static void list_line(FILE *f, const hm_option *o)
{
    fprintf(f, "--%s\t", o->name);
    for (int i = 0; o->choices && o->choices[i]; i++)
        fprintf(f, "%s%s", i ? " " : "", o->choices[i]);
    if (!o->choices)
        fprintf(f, "%s", o->kind == HM_OPT_FLAG ? "-" : o->metavar ? o->metavar : "VALUE");
    fprintf(f, "\t%s\t%c\n", o->text, o->letter ? o->letter : ' ');
}

static void list_roff(FILE *f, const hm_option *o)
{
    char *text = NULL;
    size_t size;
    FILE *memory = open_memstream(&text, &size);
    fputs(".TP\n.B ", f);
    if (o->letter)
        fprintf(f, "\\-%c, ", o->letter);
    fputs("\\-\\-", f);
    hm_roff_put(o->name, f);
    if (o->kind != HM_OPT_FLAG)
        fprintf(f, " \\fI%s\\fR", o->metavar ? o->metavar : "VALUE");
    fputc('\n', f);
    if (memory) {
        print_option_text(memory, o);
        fclose(memory);
    }
    hm_roff_put(text ? text : o->text, f);
    fputc('\n', f);
    free(text);
}

static void print_list(const hm_option *options)
{
    FILE *f = list_file ? list_file : stdout;
    for (const hm_option *o = options; o && o->name; o++)
        if (list_form == HM_LIST_ROFF)
            list_roff(f, o);
        else
            list_line(f, o);
    if (list_form == HM_LIST_LINES)
        fputs("--no-color\t-\tno colours\t \n--help\t-\tthis text\th\n", f);
}

/* Parsing ------------------------------------------------------------------------------------------------------------------------ */

static hm_status check_range(const hm_option *o, double value, const char *text, hm_error *err)
{
    if (!bounded(o) || (value >= o->min && value <= o->max))
        return HM_OK;
    if (o->max >= HM_OPTION_NO_MAX)
        return hm_fail(err, HM_EUSAGE, "--%s: %s is out of range, expected %.15g or more", o->name, text, o->min);
    return hm_fail(err, HM_EUSAGE, "--%s: %s is out of range, expected %.15g to %.15g", o->name, text, o->min, o->max);
}

static hm_status parse_int(const hm_option *o, const char *text, hm_error *err)
{
    char *end;
    hm_status st;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end)
        return hm_fail(err, HM_EUSAGE, "--%s: expected a whole number, found \"%s\"", o->name, text);
    if (errno == ERANGE)
        return hm_fail(err, HM_EUSAGE, "--%s: %s does not fit 64 bits", o->name, text);
    st = check_range(o, (double)value, text, err);
    if (!st)
        *(int64_t *)o->value = value;
    return st;
}

static hm_status parse_double(const hm_option *o, const char *text, hm_error *err)
{
    char *end;
    hm_status st;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value))
        return hm_fail(err, HM_EUSAGE, "--%s: expected a number, found \"%s\"", o->name, text);
    st = check_range(o, value, text, err);
    if (!st)
        *(double *)o->value = value;
    return st;
}

hm_status hm_option_percent(const char *name, const char *text, bool none, double *share, hm_error *err)
{
    char *end;
    double percent = strtod(text, &end);
    if (end == text || (strcmp(end, "%") && *end) || !(percent >= 0 && percent <= 1000) || (!none && percent == 0))
        return hm_fail(err, HM_EUSAGE, "--%s \"%.40s\": expected a percentage, as in 2%%", name, text);
    *share = percent / 100;
    return HM_OK;
}

/* 90, 90s, 30m, 2h, 1h30m. */
static hm_status parse_duration(const hm_option *o, const char *text, hm_error *err)
{
    int64_t total = 0;
    const char *p = text;
    while (*p) {
        int64_t n = 0, unit;
        int digits = 0;
        for (; *p >= '0' && *p <= '9' && digits < 10; p++, digits++)
            n = n * 10 + (*p - '0');
        unit = *p == 'h' ? 3600 : *p == 'm' ? 60 : *p == 's' || (!*p && p - text == digits) ? 1 : 0;
        if (!digits || !unit)
            return hm_fail(err, HM_EUSAGE, "--%s: expected a duration such as 90s, 30m or 2h, found \"%s\"", o->name, text);
        total += n * unit;
        p += *p != 0;
    }
    if (p == text)
        return hm_fail(err, HM_EUSAGE, "--%s: expected a duration such as 90s, 30m or 2h, found nothing", o->name);
    hm_status st = check_range(o, (double)total, text, err);
    if (!st)
        *(int64_t *)o->value = total;
    return st;
}

static hm_status parse_string(const hm_option *o, const char *text, hm_error *err)
{
    char list[256] = "", near[HM_SUGGESTION];
    if (!o->choices) {
        *(const char **)o->value = text;
        return HM_OK;
    }
    for (int i = 0; o->choices[i]; i++) {
        size_t used = strlen(list);
        if (!strcmp(o->choices[i], text)) {
            *(const char **)o->value = text;
            return HM_OK;
        }
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", o->choices[i]);
    }
    return hm_fail(err, HM_EUSAGE, "--%s: no value \"%s\"%s (one of %s)", o->name, text, hm_did_you_mean(near, text, o->choices), list);
}

static hm_status add(hm_strings *strings, const char *what, const char *text, hm_error *err)
{
    int most = (int)(sizeof strings->items / sizeof *strings->items);
    if (strings->count >= most)
        return hm_fail(err, HM_EUSAGE, "%s: given more than %d times", what, most);
    strings->items[strings->count++] = text;
    return HM_OK;
}

static hm_status set_value(const hm_option *o, const char *text, hm_error *err)
{
    switch (o->kind) {
    case HM_OPT_INT:
        return parse_int(o, text, err);
    case HM_OPT_DOUBLE:
        return parse_double(o, text, err);
    case HM_OPT_DURATION:
        return parse_duration(o, text, err);
    case HM_OPT_LIST:
        return add(o->value, o->name, text, err);
    case HM_OPT_STRING:
        return parse_string(o, text, err);
    case HM_OPT_FLAG:
        break;
    }
    return hm_fail(err, HM_EBUG, "--%s: an option of unknown kind", o->name);
}

static hm_status unknown_option(const hm_command *command, const hm_option *options, const char *name, size_t length, hm_error *err)
{
    const char *names[MAX_OPTIONS + 3] = {"help", "no-color"}, *near;
    char word[65];
    int n = 2;
    for (const hm_option *o = options; o && o->name && n <= MAX_OPTIONS; o++)
        names[n++] = o->name;
    snprintf(word, sizeof word, "%.*s", (int)(length < 64 ? length : 64), name);
    near = hm_nearest(word, names);
    if (near)
        return hm_fail(err, HM_EUSAGE, "%s: unknown option --%s; did you mean --%s? (hmbench %s --help)", command->name, word, near,
                       command->name);
    return hm_fail(err, HM_EUSAGE, "%s: unknown option --%s (hmbench %s --help)", command->name, word, command->name);
}

static const hm_option *find_long(const hm_option *options, const char *name, size_t length)
{
    for (const hm_option *o = options; o && o->name; o++)
        if (strlen(o->name) == length && !strncmp(o->name, name, length))
            return o;
    return NULL;
}

/* "--name", "--name=value", "--no-name" at argv[*i]; moves *i over a value taken from the next argument. */
static hm_status parse_long(const hm_command *command, const hm_option *options, int argc, char **argv, int *i, hm_error *err)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const hm_option *o = find_long(options, name, length);
    if (!o && !strcmp(name, "no-color")) {
        hm_color_off();
        return HM_OK;
    }
    if (!o && length > 3 && !strncmp(name, "no-", 3)) {
        o = find_long(options, name + 3, length - 3);
        if (o && o->kind == HM_OPT_FLAG && !equals) {
            *(bool *)o->value = false;
            return HM_OK;
        }
        o = NULL;
    }
    if (!o)
        return unknown_option(command, options, name, length, err);
    if (o->kind == HM_OPT_FLAG) {
        if (equals)
            return hm_fail(err, HM_EUSAGE, "--%s takes no value, found \"%s\"", o->name, equals + 1);
        *(bool *)o->value = true;
        return HM_OK;
    }
    if (equals)
        return set_value(o, equals + 1, err);
    if (*i + 1 >= argc)
        return hm_fail(err, HM_EUSAGE, "--%s: expected %s after it, found nothing", o->name, o->metavar ? o->metavar : "a value");
    return set_value(o, argv[++*i], err);
}

/* "-n value", "-nvalue", "-q" at argv[*i]. */
static hm_status parse_short(const hm_command *command, const hm_option *options, int argc, char **argv, int *i, hm_error *err)
{
    const char *text = argv[*i];
    for (const hm_option *o = options; o && o->name; o++) {
        if (o->letter != text[1])
            continue;
        if (o->kind == HM_OPT_FLAG && text[2])
            return hm_fail(err, HM_EUSAGE, "-%c takes no value, found \"%s\"", text[1], text + 2);
        if (o->kind == HM_OPT_FLAG) {
            *(bool *)o->value = true;
            return HM_OK;
        }
        if (text[2])
            return set_value(o, text + 2, err);
        if (*i + 1 >= argc)
            return hm_fail(err, HM_EUSAGE, "-%c: expected %s after it, found nothing", text[1], o->metavar ? o->metavar : "a value");
        return set_value(o, argv[++*i], err);
    }
    return hm_fail(err, HM_EUSAGE, "%s: unknown option -%c (hmbench %s --help)", command->name, text[1], command->name);
}

hm_status hm_options_parse(const hm_command *command, const hm_option *options, int argc, char **argv, hm_strings *positional,
                           int max_positional, bool *helped, hm_error *err)
{
    hm_status st = HM_OK;
    bool ended = false;
    *helped = false;
    for (int i = 1; i < argc && !ended && !*helped; i++) { /* help wins over whatever is wrong beside it */
        ended = !strcmp(argv[i], "--");
        *helped = !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h");
    }
    if (*helped) {
        print_help(command, options);
        return HM_OK;
    }
    if (argc >= 2 && !strcmp(argv[argc - 1], "--list-options")) {
        print_list(options);
        *helped = true;
        return HM_OK;
    }
    ended = false;
    for (int i = 1; i < argc && !st; i++) {
        const char *text = argv[i];
        if (!ended && !strcmp(text, "--"))
            ended = true;
        else if (!ended && text[0] == '-' && text[1] == '-')
            st = parse_long(command, options, argc, argv, &i, err);
        else if (!ended && text[0] == '-' && text[1])
            st = parse_short(command, options, argc, argv, &i, err);
        else if (!positional || positional->count >= max_positional)
            st = hm_fail(err, HM_EUSAGE, "%s: unexpected argument \"%s\" (hmbench %s --help)", command->name, text, command->name);
        else
            st = add(positional, command->name, text, err);
    }
    return st;
}

void hm_options_each(const hm_option *options, int argc, char **argv, void *self,
                     void (*given)(void *self, const char *name, const char *value, bool on))
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
        const char *text = argv[i], *equals = strchr(text, '=');
        const hm_option *o = NULL;
        bool on = true;
        const char *value = NULL;
        if (text[0] == '-' && text[1] == '-') {
            size_t length = equals ? (size_t)(equals - text) - 2 : strlen(text + 2);
            o = find_long(options, text + 2, length);
            value = equals ? equals + 1 : NULL;
            if (!o && length > 3 && !strncmp(text + 2, "no-", 3)) {
                o = find_long(options, text + 5, length - 3);
                on = false;
            }
        } else if (text[0] == '-' && text[1]) {
            for (const hm_option *each = options; each && each->name && !o; each++)
                o = each->letter == text[1] ? each : NULL;
            value = o && text[2] ? text + 2 : NULL;
        }
        if (!o)
            continue;
        if (o->kind != HM_OPT_FLAG && !value)
            value = i + 1 < argc ? argv[++i] : "";
        given(self, o->name, o->kind == HM_OPT_FLAG ? NULL : value, on);
    }
}
