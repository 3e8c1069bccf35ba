/* The program: the one table of commands, and the only place where a status becomes an exit code. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/commands.h"
#include "harness/machine.h"
#include "harness/progress.h"
#include "harness/protocol.h"
#include "harness/run_report.h"

const hm_command hm_commands[] = {
    {"generate", hm_cmd_generate, "one song from tags and lyrics", "generate --tags T --lyrics FILE -o song.wav [options]",
     "hmbench generate --tags 'pop, piano, warm' --lyrics lyrics.txt --seconds 30 -o song.wav\n"
     "hmbench generate --tags tags.txt --lyrics - --codes song.codes -o song.flac <lyrics.txt\n"
     "hmbench generate --tags 'folk' --lyrics lyrics.txt --stream -o - | aplay\n"
     "hmbench generate --tags 'folk' --lyrics lyrics.txt --model ~/ckpt --variant naive --json -o song.mp3"},
    {"speak", hm_cmd_speak, "one utterance from text",
     "speak --text TEXT --speaker NAME|--design TEXT|--ref-audio FILE -o speech.wav [options]",
     "hmbench speak --text 'Good morning.' --speaker vivian --language english -o morning.wav\n"
     "hmbench speak --text-file - --speaker ryan --codes speech.codes -o speech.flac <text.txt\n"
     "hmbench speak --text 'Good morning.' --design 'an old man, slow and hoarse' -o old.wav\n"
     "hmbench speak --text 'Good morning.' --ref-audio voice.wav --ref-text 'What is said in it.' -o clone.wav\n"
     "hmbench speak --text 'Good morning.' --speaker vivian --stream -o - | aplay\n"
     "hmbench speak --text 'Good morning.' --speaker vivian --model ~/ckpt --variant naive --json -o morning.mp3"},
    {"transcribe", hm_cmd_transcribe, "the words of a recording, as text or subtitles", "transcribe FILE [-o TEXT] [options]",
     "hmbench transcribe song.flac\nhmbench transcribe song.mp3 --language english -o song.srt\n"
     "hmbench transcribe talk.wav --model ~/ckpt --batch-size 4 --chunk-length 20 --format json\n"
     "hmbench transcribe talk.wav --chunk-length 0 --timestamps --task translate -o talk.txt"},
    {"decode", hm_cmd_decode, "audio of the codes that generate or speak --codes kept", "decode FILE -o song.wav [options]",
     "hmbench decode song.codes -o song.wav\nhmbench decode song.codes --steps 50 --variant best -o song.flac\n"
     "hmbench decode speech.codes --model ~/ckpt -o speech.wav"},
    {"profile", hm_cmd_profile, "a timeline of one case", "profile CASE --trace FILE [options]",
     "hmbench profile short --trace short.json\nhmbench profile long/plain --trace long.json.gz --variant naive --repeat 1\n"
     "hmbench profile short --trace t.json --trace-window frames=100:104 --seconds 20"},
    {"trace", hm_cmd_trace, "what a timeline holds, and whether it keeps the rules", "trace check|stats|diff FILE [FILE]",
     "hmbench trace check short.json\nhmbench trace stats short.json.gz --top 20\nhmbench trace diff naive.json best.json"},
    {"suite", hm_cmd_suite, "measure cases in interleaved rounds, arm against arm", "suite NAME... [options]",
     "hmbench suite short\nhmbench suite short medium --variant naive,best:attn=scores --rounds 6\n"
     "hmbench suite long --variant all --dry-run\nhmbench suite song --model ~/ckpt --threads 1,2 --max-time 2h\n"
     "hmbench suite short --arm other='./other_worker.py' --db other.db\nhmbench suite --resume\n"
     "hmbench suite short --variant best -a precision=ladder,each=int8\n"
     "hmbench suite short medium --slurm --partition bench --nodes 4\nhmbench suite --slurm --resume"},
    {"batch", hm_cmd_batch, "several requests side by side in one process: what it gains, and that each stays what it is alone",
     "batch SUITE... [options]",
     "hmbench batch short\nhmbench batch short --batch 1,4 --repeat-cases 4 --variant naive,best\n"
     "hmbench batch medium --model ~/ckpt --rounds 5 --json"},
    {"compare", hm_cmd_compare, "two arms of a session, or two sessions: ratios with their intervals", "compare A B [options]",
     "hmbench compare naive best\nhmbench compare naive best --metric generate --percentiles\n"
     "hmbench compare main last -o json\nhmbench compare branch=main:best branch=topic:best\n"
     "hmbench compare old.db:last:best last:best --force-compare"},
    {"gate", hm_cmd_gate, "is this build slower than that one? interleaved, with an interval, or by exact counts",
     "gate SUITE... --base REF [options]",
     "hmbench gate short --base ~/main/build/hmbench\nhmbench gate short medium --base ~/main/build/hmbench --margin 5% --github --junit gate.xml\n"
     "hmbench gate short --base ~/main/build/hmbench --counts-only --tolerance launches=1%\nhmbench gate short --base naive --cand best\n"
     "hmbench gate short --base release-1 --trust-history -O json:gate.json"},
    {"calibrate", hm_cmd_calibrate, "what a gate can find on this machine: a program against itself, or simulated",
     "calibrate SUITE... | --simulate [options]",
     "hmbench calibrate short\nhmbench calibrate short --rounds 40 --variant naive\nhmbench calibrate short --iters 5\nhmbench calibrate --simulate --plot curves.svg\n"
     "hmbench calibrate --simulate --gates 1000 --noise 1.5% --drift ramp --slowdown 3%"},
    {"baseline", hm_cmd_baseline, "sessions kept under a name, to judge later ones against",
     "baseline set NAME [SESSION...] | list | show NAME | rm NAME",
     "hmbench baseline set release-1\nhmbench baseline set main branch=main\nhmbench baseline list\nhmbench baseline show main\n"
     "hmbench baseline rm release-1"},
    {"db", hm_cmd_db, "the database: ask, check, move and prune it (hmbench db sql --help)",
     "db init|info|sql|check|export|import|schema|merge|prune [options]",
     "hmbench db info\nhmbench db sql 'SELECT * FROM arm_figure' -o csv\nhmbench db check\nhmbench db merge node1.db node2.db --db all.db\n"
     "hmbench db export --session last >last.jsonl\nhmbench db import last.jsonl --db other.db\nhmbench db prune --keep-days 90 --dry-run"},
    {"worker", hm_cmd_worker, "one engine that takes its orders as lines of JSON (docs/worker-protocol.md)", "worker",
     "echo '{\"type\":\"hello\",\"protocol\":2}' | hmbench worker"},
    {"journal", hm_cmd_journal, "everything measured so far, as markdown", "journal [-o FILE] [options]",
     "hmbench journal -o journal.md\nhmbench journal --session last\nhmbench journal --since 2006-01-02 --notes notes.md -o journal.md"},
    {"plot", hm_cmd_plot, "a picture of a session, of an ablation or of a case's history",
     "plot ladder|phases|steps|ratio|roofline|tradeoff|positions|ablation|history [CASE] -o FILE [options]",
     "hmbench plot ladder -o ladder.svg\nhmbench plot phases --session last -o phases.png\nhmbench plot ratio -o ratio.svg\n"
     "hmbench plot steps -o steps.svg --script >steps.gnuplot\nhmbench plot ablation -o ablation.svg\n"
     "hmbench plot history short/plain --since 2006-01-02 -o history.svg"},
    {"report", hm_cmd_report, "a session as one page of HTML, or a run as a line of text",
     "report [-o FILE] [options]\nreport --line [options]",
     "hmbench report -o report.html\nhmbench report --session 01234567 -o report.html\nhmbench report --line\n"
     "hmbench report --line --explain --variant best --case short/plain"},
    {"ablate", hm_cmd_ablate, "what each toggle of a variant is worth: put on alone, and left out of the whole",
     "ablate SUITE... [options]",
     "hmbench ablate short\nhmbench ablate short --filter plain --variant best --rounds 10 --plot ablation.svg\n"
     "hmbench ablate short --toggle kv --toggle fuse -o json\nhmbench ablate --session last"},
    {"history", hm_cmd_history, "how a figure went from commit to commit on one machine, and where it changed", "history CASE [options]",
     "hmbench history short/plain\nhmbench history short --arm best --metric generate --since 2006-01-02\n"
     "hmbench history short/plain --plot history.svg\nhmbench history short --fail -o json"},
    {"list", hm_cmd_list, "what there is to choose from",
     "list suites|cases|variants|toggles|models|devices|settings|env-profiles|metrics [--json]",
     "hmbench list variants\nhmbench list toggles --json\nhmbench list models --names"},
    {"synth", hm_cmd_synth, "made weights in the real folder layout", "synth PRESET DIR [--seed N]",
     "hmbench synth heartmula-mini /tmp/mini\nhmbench synth heartmula-3b ~/synthetic-3b --seed 7"},
    {"inspect", hm_cmd_inspect, "what a checkpoint is, and what memory it needs, without loading it",
     "inspect DIR|PRESET [--json | --memory]",
     "hmbench inspect ~/ckpt\nhmbench inspect heartmula-mini --seconds 240 --json\nhmbench inspect model.safetensors --variant best\n"
     "hmbench inspect heartmula-3b --memory --seconds 60,240 --variant best"},
    {"verify", hm_cmd_verify, "the engine against golden files of the original programs", "verify DIR [--variant V,...]",
     "hmbench verify tests/goldens/heart\nhmbench verify tests/goldens/heart --variant naive,reference-heartlib,best --misses\n"
     "hmbench verify tests/goldens/heart --isa scalar --threads 1"},
    {"kernels", hm_cmd_kernels, "how near the kernels come to what the machine can do", "kernels [--bench] [--filter WORDS] [options]",
     "hmbench kernels\nhmbench kernels --bench\nhmbench kernels --bench --filter \"gemv int8\" --threads 1\n"
     "hmbench kernels --bench -o csv >kernels.csv"},
    {"limits", hm_cmd_limits, "what the machine can do: reading caches and memory, multiply-adds of each type; and how that drifts",
     "limits [--history] [options]",
     "hmbench limits\nhmbench limits --threads 1 -o json\nhmbench limits --history\n"
     "hmbench limits --no-save -O csv:limits.csv"},
    {"doctor", hm_cmd_doctor, "what is here, whether it works, and what to do", "doctor [--json]", "hmbench doctor\nhmbench doctor --json\nhmbench doctor -O json:doctor.json"},
    {"cache", hm_cmd_cache, "presets and packed weights that were made on first use", "cache list|prune|path [--keep GB] [--packs]",
     "hmbench cache list\nhmbench cache prune\nhmbench cache prune --packs --keep 20\nHMBENCH_CACHE=/big/disk hmbench cache path"},
    {"peers", hm_cmd_peers, "other people's engines as arms: what there is, installing it, and whether a program keeps to the protocol",
     "peers list|install|check [NAME...]",
     "hmbench peers\nhmbench peers install faster-whisper\nhmbench peers check './my_worker.py' --model heartmula-tiny\n"
     "hmbench peers list --json"},
    {"completion", hm_cmd_completion, "completion for a shell", "completion bash|zsh|fish",
     "source <(hmbench completion bash)\nhmbench completion fish > ~/.config/fish/completions/hmbench.fish"},
    {"help", hm_cmd_help, "the commands, or one of them; the manual page", "help [COMMAND|--man]",
     "hmbench help\nhmbench help generate\nhmbench help --man | man -l -"},
    {0},
};

const hm_command *hm_command_find(const char *name)
{
    for (const hm_command *c = hm_commands; c->name; c++)
        if (!strcmp(c->name, name))
            return c;
    return NULL;
}

hm_status hm_command_unknown(const char *name, hm_error *err)
{
    const char *names[64] = {0};
    char near[HM_SUGGESTION];
    int n = 0;
    for (const hm_command *c = hm_commands; c->name && n < 63; c++)
        names[n++] = c->name;
    return hm_fail(err, HM_EUSAGE, "unknown command \"%s\"%s (hmbench help)", name, hm_did_you_mean(near, name, names));
}

static hm_status print_version(int argc, char **argv, hm_error *err)
{
    hm_build_record b;
    if (argc == 2) {
        printf("hmbench %s\n", HM_VERSION);
        return HM_OK;
    }
    if (argc > 3 || strcmp(argv[2], "--json"))
        return hm_fail(err, HM_EUSAGE, "--version: unknown option \"%s\"; --json is the only one", argv[2]);
    hm_status st = hm_build_read(&b, err);
    if (st)
        return st;
    json_t *o = hm_proto_build(&b);
    json_object_set_new(o, "program", json_string("hmbench"));
    json_object_set_new(o, "database_version", json_integer(hm_store_schema_version()));
    return hm_json_print(o, err);
}

static hm_status run(int argc, char **argv, hm_error *err)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    const hm_command *command;
    if (!name) {
        hm_commands_print(stderr);
        return HM_EUSAGE;
    }
    if (!strcmp(name, "--help") || !strcmp(name, "-h")) {
        hm_commands_print(stdout);
        return HM_OK;
    }
    if (!strcmp(name, "--version") || !strcmp(name, "-V"))
        return print_version(argc, argv, err);
    command = hm_command_find(name);
    return command ? command->run(command, argc - 1, argv + 1, err) : hm_command_unknown(name, err);
}

int main(int argc, char **argv)
{
    hm_error err = {0};
    hm_status st;
    setlocale(LC_CTYPE, "C.UTF-8"); /* numbers keep the point, whatever the user's language */
    hm_interrupt_install();
    st = run(argc, argv, &err);
    fflush(stdout); /* where both go to one place the error stands after the text, not within a line of it */
    if (st && *err.text)
        fprintf(stderr, "hmbench: %s\n", err.text);
    bool failed = ferror(stdout);
    errno = 0;
    if (fclose(stdout) || failed) {
        if (!hm_pipe_broken()) /* a reader that has seen enough is no news */
            fprintf(stderr, "hmbench: writing to standard output failed%s%s\n", errno ? ": " : "", errno ? strerror(errno) : "");
        st = st ? st : HM_EIO;
    }
    return (int)st;
}
