/*
 * Options: the words of a command line, each ended by a NUL.  What is taken
 * lies within its limits, and the command line is quoted so that it would be
 * read back.
 */
#include "fuzz.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/opt.h"
#include "base/str.h"

#include <getopt.h>

enum { MOST = 40 };

static bool flag;
static const char *text;
static struct str_list list;
static int64_t whole;
static double real;
static int choice;

static const struct opt opts[] = {
    { "flag", 'f', OPT_FLAG, &flag, NULL, NULL, "help", 0, 0 },
    { "text", 't', OPT_TEXT, &text, "FILE", NULL, "help", 0, 0 },
    { "list", 'l', OPT_LIST, &list, "FILE", NULL, "help", 0, 0 },
    { "whole", 'n', OPT_INT, &whole, "N", "3", "help", -7, 1000 },
    { "real", 0, OPT_REAL, &real, "R", "0.5", "help", 0, 1 },
    { "choice", 'c', OPT_CHOICE, &choice, "a|bc|b", "bc", "help", 0, 0 },
    OPT_END
};
static const char *const examples[] = { NULL };
static const struct program program = { "fuzz", "", "", opts, examples, false };

/* Would it print --help, --version or --completion, and end the program? */
static bool
ends(const char *word)
{
    return word[0] == '-' && (strpbrk(word, "hV") != NULL ||
                              strncmp(word, "--v", 3) == 0 ||
                              strncmp(word, "--co", 4) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *words = fuzz_text(data, n), *argv[MOST + 2], *line;
    struct err e = { 0 };
    static const char *const none[] = { NULL };
    int argc = 1, at;

    argv[0] = words;
    for (char *p = words; p < words + n && argc <= MOST; p += strlen(p) + 1) {
        if (!ends(p))
            argv[argc++] = p;
    }
    argv[argc] = NULL;
    opterr = 0;
    log_set_level(LOG_QUIET);
    line = opt_settings(&program, argc, argv, none);
    if (strncmp(line, program.name, strlen(program.name)) != 0)
        abort();
    free(line);
    at = opt_parse(&program, argc, argv, &e);
    if (at == 0 || at > argc || (at < 0) != (e.status == EXIT_USAGE))
        abort();
    if (whole < -7 || whole > 1000 || !(real >= 0 && real <= 1) ||
        choice < 0 || choice > 2)
        abort();
    str_list_release(&list);
    free(words);
    return 0;
}
