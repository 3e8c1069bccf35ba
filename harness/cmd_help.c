#include <stdio.h>

#include "harness/commands.h"

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

hm_status hm_cmd_help(const hm_command *self, int argc, char **argv, hm_error *err)
{
    hm_strings names = {0};
    bool helped;
    const hm_command *command;
    hm_status st = hm_options_parse(self, NULL, argc, argv, &names, 1, &helped, err);
    if (st || helped)
        return st;
    if (!names.count) {
        hm_commands_print(stdout);
        return HM_OK;
    }
    command = hm_command_find(names.items[0]);
    if (!command)
        return hm_fail(err, HM_EUSAGE, "help: no command \"%s\" (hmbench help)", names.items[0]);
    return command->run(command, 2, (char *[]){(char *)command->name, (char *)"--help", NULL}, err);
}
