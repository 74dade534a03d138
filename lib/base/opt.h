/*
 * opt: the options of a program as one table.
 *
 * The table makes the parser, the defaults and --help; a test holds it against
 * the man page, and what shells complete (complete.h).  Every program also
 * takes -h, -V, -q and -v.  Long options may be shortened while unique; "--"
 * ends the options.
 */
#ifndef BUSI_BASE_OPT_H
#define BUSI_BASE_OPT_H

#include "base/err.h"

#include <stdbool.h>

enum opt_kind {
    OPT_FLAG,       /* bool: set true */
    OPT_TEXT,       /* const char *: the argument itself */
    OPT_IN,         /* the same, the path of a file that is read */
    OPT_OUT,        /* the same, the path of a file that is written */
    OPT_PICTURE,    /* the same, of a picture: may replace one */
    OPT_LIST,       /* struct str_list of files read: every use adds one */
    OPT_INT,        /* int64_t in [lo, hi] */
    OPT_REAL,       /* double in [lo, hi] */
    OPT_CHOICE      /* int: number of the word in arg, "a|b|c" */
};

struct opt {
    const char *name;       /* long name; NULL ends the table */
    char key;               /* short letter or 0 */
    enum opt_kind kind;
    void *at;               /* where the value goes */
    const char *arg;        /* name of the argument in --help; shells complete
                               folders for DIR, files as well for MODEL */
    const char *preset;     /* default as it would be typed; NULL: a flag
                               is false, a text NULL, all else as it was */
    const char *help;       /* one line, no full stop */
    double lo, hi;          /* limits of OPT_INT and OPT_REAL */
};

struct program {
    const char *name;
    const char *args;       /* what follows the options in the usage line */
    const char *summary;    /* one sentence */
    const struct opt *opts;
    const char *const *examples;    /* command lines, NULL-ended */
    bool in_place;          /* an operand may be --output as well */
};

#define OPT_SEED(at) \
    { "seed", 0, OPT_INT, at, "N", "1", "seed of all draws", 0, 0x1p53 }
#define OPT_REJECTS(at) \
    { "rejects", 0, OPT_OUT, at, "FILE", NULL, \
      "list rejected inputs here, not on stderr", 0, 0 }
#define OPT_END { NULL, 0, OPT_FLAG, NULL, NULL, NULL, NULL, 0, 0 }

/*
 * Start a program: name it for messages, make sure that descriptors 0 to 2
 * exist, set every default, parse.  Returns the index of the first operand in
 * argv, which is permuted.  -h and -V print to stdout and exit; a wrong option
 * prints one line and exits with EXIT_USAGE, and so does an output that is an
 * input, or another output, too.
 */
int opt_start(const struct program *p, int argc, char **argv);

/*
 * The parsing alone: -1 where opt_start() would end the program, with an error
 * that has no text if getopt has said it.  -h and -V print and exit.
 */
int opt_parse(const struct program *p, int argc, char **argv, struct err *e);

/*
 * End a program: print the error if there is one, with -v the usage of time
 * and memory; returns the exit status (status, or the error's).
 */
int opt_finish(int status, const struct err *e);

/*
 * What a command line sets, as a command quoted for a shell, the same however
 * it was typed: options by their long names in the table's order, then
 * operands.  Left out are outputs, -q and -v, defaults, and the options named in
 * `but` [NULL-ended].  The command line is one that opt_start() takes; the
 * caller frees the string.
 */
char *opt_settings(const struct program *p, int argc, char *const *argv,
                   const char *const *but);

#endif
