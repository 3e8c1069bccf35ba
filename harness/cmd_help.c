#include <stdio.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/complete.h"

void hm_commands_print(FILE *file)
{
    fprintf(file, "hmbench: how fast do music and speech models run here, and what is each optimisation worth?\n\nusage:\n"
                  "  hmbench COMMAND [options]\n  hmbench help COMMAND\n\ncommands:\n");
    for (const hm_command *c = hm_commands; c->name; c++)
        fprintf(file, "  %-12s%s\n", c->name, c->text);
    fprintf(file, "\nexit codes:\n");
#define PRINT_STATUS(name, code, text) fprintf(file, "  %-12d%s\n", code, text);
    HM_STATUS_LIST(PRINT_STATUS)
#undef PRINT_STATUS
}

static void put_block(FILE *f, const char *prefix, const char *text)
{
    fputs(".nf\n", f);
    while (*text) {
        size_t n = strcspn(text, "\n");
        char line[1024];
        snprintf(line, sizeof line, "%s%.*s", prefix, (int)n, text);
        hm_roff_put(line, f);
        fputc('\n', f);
        text += n + (text[n] == '\n');
    }
    fputs(".fi\n", f);
}

/* The options of a command's sub-words, where each has a table of its own. */
static void put_word_options(void *self, const char *word)
{
    fputs(".PP\n\\fB", stdout);
    hm_roff_put(word, stdout);
    fputs("\\fR:\n", stdout);
    hm_list_options(self, word);
}

/* The manual page, from the tables that --help is printed from. */
static void print_manual(void)
{
    printf(
        ".TH HMBENCH 1 \"\" \"hmbench %s\" \"User Commands\"\n.SH NAME\nhmbench \\- how fast music and speech models run here, and what each "
        "optimisation is worth\n.SH SYNOPSIS\n.B hmbench\n.I COMMAND\n[\\fIoptions\\fR]\n.SH COMMANDS\n",
        HM_VERSION);
    hm_options_list_to(stdout, HM_LIST_ROFF);
    for (const hm_command *c = hm_commands; c->name; c++) {
        printf(".SS ");
        hm_roff_put(c->name, stdout);
        fputc('\n', stdout);
        hm_roff_put(c->text, stdout);
        printf("\n.PP\n");
        put_block(stdout, "hmbench ", c->usage);
        if (!hm_list_options(c, NULL))
            hm_usage_words(c, put_word_options, (void *)c);
        printf(".PP\nExamples:\n");
        put_block(stdout, "", c->examples);
    }
    hm_options_list_to(NULL, HM_LIST_LINES);
    printf(".SH EXIT STATUS\n");
#define PRINT_STATUS(name, code, text) printf(".TP\n.B %d\n%s\n", code, text);
    HM_STATUS_LIST(PRINT_STATUS)
#undef PRINT_STATUS
    printf(
        ".SH ENVIRONMENT\n.TP\n.B HMBENCH_DB\nthe database, instead of hmbench\\-out/hmbench.db\n.TP\n.B HMBENCH_CACHE\nwhere presets are "
        "kept\n.TP\n.B HMBENCH_MODULES\nwhere engine modules are\n.TP\n.B HMBENCH_PROGRESS\nalways or never: the line of progress\n.TP\n.B "
        "NO_COLOR\nno colours\n");
}

hm_status hm_cmd_help(const hm_command *self, int argc, char **argv, hm_error *err)
{
    hm_strings names = {0};
    bool helped;
    const hm_command *command;
    bool manual = false;
    const hm_option options[] = {
        {"man", 0, HM_OPT_FLAG, &manual, NULL, "the whole manual page, as roff: hmbench help --man | man -l -", 0, 0, NULL}, {0}};
    hm_status st = hm_options_parse(self, options, argc, argv, &names, 1, &helped, err);
    if (st || helped)
        return st;
    if (manual) {
        print_manual();
        return HM_OK;
    }
    if (!names.count) {
        hm_commands_print(stdout);
        return HM_OK;
    }
    command = hm_command_find(names.items[0]);
    if (!command)
        return hm_command_unknown(names.items[0], err);
    return command->run(command, 2, (char *[]){(char *)command->name, (char *)"--help", NULL}, err);
}
