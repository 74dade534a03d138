#include "base/opt.h"

#include "base/complete.h"
#include "base/file.h"
#include "base/log.h"
#include "base/magic.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/version.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LONG_ONLY = 256 };   /* getopt's value of option i: LONG_ONLY + i */

static bool
is_output(const struct opt *o)
{
    return o->kind == OPT_OUT || o->kind == OPT_PICTURE;
}

static const struct opt common[] = {
    { "quiet", 'q', OPT_FLAG, NULL, NULL, NULL, "no warnings, no progress",
      0, 0 },
    { "verbose", 'v', OPT_FLAG, NULL, NULL, NULL,
      "say more; end with version, seconds and peak memory", 0, 0 },
    { "help", 'h', OPT_FLAG, NULL, NULL, NULL, "print this help", 0, 0 },
    { "version", 'V', OPT_FLAG, NULL, NULL, NULL, "print the version", 0, 0 },
    { "completion", 0, OPT_CHOICE, NULL, "bash|zsh|fish", NULL,
      "print what that shell needs to complete options", 0, 0 },
    OPT_END
};

static void
print_opt(const struct opt *o)
{
    struct str left = { 0 };

    if (o->key != 0)
        str_addf(&left, "  -%c, --%s", o->key, o->name);
    else
        str_addf(&left, "      --%s", o->name);
    if (o->arg != NULL)
        str_addf(&left, "=%s", o->arg);
    if (left.n < 30)
        printf("%-30s", left.text);
    else
        printf("%s\n%30s", left.text, "");
    printf("%s", o->help);
    if (o->preset != NULL)
        printf(" [%s]", o->preset);
    putchar('\n');
    str_release(&left);
}

static void
print_help(const struct program *p)
{
    printf("usage: %s [OPTION...]%s%s\n%s\n\n", p->name,
           p->args[0] != '\0' ? " " : "", p->args, p->summary);
    for (const struct opt *o = p->opts; o->name != NULL; o++)
        print_opt(o);
    for (const struct opt *o = common; o->name != NULL; o++)
        print_opt(o);
    puts("\nexamples:");
    for (const char *const *s = p->examples; *s != NULL; s++)
        printf("  %s\n", *s);
}

/* Which of the words a|b|c is s?  -1: none. */
static int
choice(const char *words, const char *s)
{
    size_t n = strlen(s);

    for (int i = 0;; i++) {
        size_t m = strcspn(words, "|");

        if (m == n && strncmp(words, s, n) == 0)
            return i;
        if (words[m] == '\0')
            return -1;
        words += m + 1;
    }
}

static int
set(const struct opt *o, const char *s, struct err *e)
{
    double real = 0;
    int64_t whole = 0;
    int word;

    switch (o->kind) {
    case OPT_FLAG:
        *(bool *)o->at = true;
        break;
    case OPT_TEXT:
    case OPT_IN:
    case OPT_OUT:
    case OPT_PICTURE:
        if (strcmp(o->arg, "DIR") == 0 && strcmp(s, "-") == 0)
            return err_set(e, EXIT_USAGE, "--%s wants a folder, not '-'",
                           o->name);
        /* Not a file to replace, which a script writes to. */
        if (o->kind == OPT_OUT && strcmp(s, "/dev/stdout") == 0)
            s = "-";
        *(const char **)o->at = s;
        break;
    case OPT_LIST:
        str_list_add(o->at, s);
        break;
    case OPT_INT:
        if (!str_int(s, &whole) || (double)whole < o->lo ||
            (double)whole > o->hi)
            return err_set(e, EXIT_USAGE, "--%s wants a whole number from "
                           "%.0f to %.0f, not '%s'", o->name, o->lo, o->hi, s);
        *(int64_t *)o->at = whole;
        break;
    case OPT_REAL:
        if (!str_real(s, &real) || real < o->lo || real > o->hi)
            return err_set(e, EXIT_USAGE, "--%s wants a number from %g to %g, "
                           "not '%s'", o->name, o->lo, o->hi, s);
        *(double *)o->at = real;
        break;
    case OPT_CHOICE:
        word = choice(o->arg, s);
        if (word < 0)
            return err_set(e, EXIT_USAGE, "--%s wants one of %s, not '%s'",
                           o->name, o->arg, s);
        *(int *)o->at = word;
        break;
    }
    return 0;
}

/* What has no default: flags are down, texts NULL, numbers as they were. */
static void
clear(const struct opt *o)
{
    if (o->kind == OPT_FLAG)
        *(bool *)o->at = false;
    if (o->kind == OPT_TEXT || o->kind == OPT_IN || is_output(o))
        *(const char **)o->at = NULL;
}

/* Help, version or completion is all that was asked for. */
static void
end_print(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        exit(EXIT_DONE);
    log_error("cannot write 'stdout': %s", strerror(errno));
    exit(EXIT_IO);
}

static int
print_completion(const struct program *p, const char *shell, struct err *e)
{
    if (complete_print(p, common, shell, stdout) != 0)
        return err_set(e, EXIT_USAGE,
                       "--completion wants one of bash|zsh|fish, not '%s'",
                       shell);
    end_print();
    return 0;
}

static int
set_common(const struct program *p, const struct opt *o, struct err *e)
{
    switch (o->key) {
    case 'q':
        log_set_level(LOG_QUIET);
        break;
    case 'v':
        log_set_level(LOG_VERBOSE);
        break;
    case 'V':
        printf("%s %s\n", p->name, BUSI_VERSION);
        end_print();
        break;
    case 'h':
        print_help(p);
        end_print();
        break;
    default:
        return print_completion(p, optarg, e);
    }
    return 0;
}

/* getopt_long's form of one table, appended. */
static void
translate(const struct opt *opts, int base, struct option *longs, size_t *n,
          struct str *shorts)
{
    for (int i = 0; opts[i].name != NULL; i++) {
        bool arg = opts[i].kind != OPT_FLAG;

        longs[*n].name = opts[i].name;
        longs[*n].has_arg = arg ? required_argument : no_argument;
        longs[(*n)++].val = base + i;
        if (opts[i].key != 0)
            str_addf(shorts, "%c%s", opts[i].key, arg ? ":" : "");
    }
}

/*
 * What a careless parent may have left us.  Without descriptors 0 to 2, the
 * next file opened would become stdin, stdout or stderr: the stand-ins fail on
 * the use they are not for.  With SIGCHLD ignored, no child would have a
 * status.
 */
static void
guard_start(void)
{
    signal(SIGCHLD, SIG_DFL);
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

enum { OPTIONS_MOST = 128 };

/* The program's options, so many, and the common ones. */
static size_t
translate_all(const struct program *p, struct option longs[OPTIONS_MOST],
              struct str *shorts)
{
    size_t n = 0, nown;

    memset(longs, 0, OPTIONS_MOST * sizeof *longs);
    translate(p->opts, LONG_ONLY, longs, &n, shorts);
    nown = n;
    translate(common, LONG_ONLY + (int)nown, longs, &n, shorts);
    return nown;
}

/* What getopt_long has found, c as in translate(); NULL: a common one. */
static const struct opt *
own(const struct program *p, int c)
{
    for (const struct opt *o = p->opts; o->name != NULL; o++)
        if (o->key == c || o - p->opts == c - LONG_ONLY)
            return o;
    return NULL;
}

static int
take(const struct program *p, size_t nown, int c, struct err *e)
{
    const struct opt *o = own(p, c);

    if (o != NULL)
        return set(o, optarg, e);
    if (c >= LONG_ONLY + (int)nown)
        return set_common(p, &common[c - LONG_ONLY - (int)nown], e);
    for (o = common; o->key != c; o++)
        ;
    return set_common(p, o, e);
}

int
opt_parse(const struct program *p, int argc, char **argv, struct err *e)
{
    struct option longs[OPTIONS_MOST];
    struct str shorts = { 0 };
    size_t nown;
    int c, rc = 0;

    for (const struct opt *o = p->opts; o->name != NULL; o++)
        if (o->preset == NULL)
            clear(o);
        else if (set(o, o->preset, e) != 0)
            return -1;
    nown = translate_all(p, longs, &shorts);
    argv[0] = (char *)p->name;      /* getopt's messages start with it */
    optind = 0;
    while (rc == 0 &&
           /* NOLINTNEXTLINE: the common options have letters. */
           (c = getopt_long(argc, argv, shorts.text, longs, NULL)) != -1)
        rc = c != '?' ? take(p, nown, c, e)
                      : err_set(e, EXIT_USAGE, "%s", "");
    str_release(&shorts);
    return rc == 0 ? optind : -1;
}

/* By its first bytes: PNG, JPEG, TIFF, BMP, WebP, DICOM. */
static bool
holds_picture(const char *path)
{
    char head[MAGIC_BYTES];
    struct stat st;
    FILE *f = strcmp(path, "-") != 0 && stat(path, &st) == 0 &&
              S_ISREG(st.st_mode) ? fopen(path, "rb") : NULL;
    size_t n = f != NULL ? fread(head, 1, sizeof head, f) : 0;

    if (f != NULL)
        fclose(f);
    return magic_of(head, n) != MAGIC_NONE;
}

/* Is the file of output `o` that of option `q` as well? */
static bool
shared(const struct opt *o, const struct opt *q)
{
    const char *path = *(const char *const *)o->at, *other = NULL;
    const struct str_list *list = q->at;
    bool same = false;

    if (q->kind == OPT_LIST)
        for (size_t i = 0; i < list->n && !same; i++)
            same = file_same(path, list->item[i]);
    else if (q->kind == OPT_IN || is_output(q))
        other = *(const char *const *)q->at;
    if (other != NULL)
        same = file_same(path, other) ||
               (is_output(q) && strcmp(path, "-") == 0 &&
                strcmp(other, "-") == 0);
    return same;
}

/* No output is an input or another output. */
static int
keep_apart(const struct program *p, char *const *operands, struct err *e)
{
    for (const struct opt *o = p->opts; o->name != NULL; o++) {
        if (!is_output(o) || *(const char *const *)o->at == NULL)
            continue;
        if (o->kind == OPT_OUT &&
            holds_picture(*(const char *const *)o->at))
            return err_set(e, EXIT_USAGE, "--%s would replace a picture, '%s'",
                           o->name, *(const char *const *)o->at);
        for (const struct opt *q = p->opts; q->name != NULL; q++)
            if (q != o && shared(o, q))
                return err_set(e, EXIT_USAGE, "--%s and --%s are both '%s'",
                               o->name, q->name,
                               *(const char *const *)o->at);
        /* busi-split -o X X adds a column; a second output never may. */
        if (p->in_place && strcmp(o->name, "output") == 0)
            continue;
        for (char *const *s = operands; *s != NULL; s++)
            if (file_same(*(const char *const *)o->at, *s))
                return err_set(e, EXIT_USAGE, "--%s would replace the input "
                               "'%s'", o->name, *s);
    }
    return 0;
}

int
opt_start(const struct program *p, int argc, char **argv)
{
    struct err e = { 0 };
    int at;

    guard_start();
    log_open(p->name);
    at = opt_parse(p, argc, argv, &e);
    if (at >= 0 && keep_apart(p, argv + at, &e) != 0)
        at = -1;
    if (e.text[0] != '\0')
        log_error("%s (see --help)", e.text);
    if (at < 0)
        exit(EXIT_USAGE);
    return at;
}

int
opt_finish(int status, const struct err *e)
{
    if (e->status != 0) {
        log_error("%s", e->text);
        status = e->status;
    }
    log_usage();
    return status;
}

/* A word of a command, quoted where a shell needs it. */
static void
add_word(struct str *s, const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn"
                                "opqrstuvwxyz0123456789-_=./,:+@%";

    if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
        str_add(s, word);
        return;
    }
    str_add(s, "'");
    for (const char *p = word; *p != '\0'; p++)
        if (*p == '\'')
            str_add(s, "'\\''");
        else
            str_add_bytes(s, p, 1);
    str_add(s, "'");
}

static bool
left_out(const struct opt *o, const char *const *but)
{
    while (*but != NULL && strcmp(*but, o->name) != 0)
        but++;
    return is_output(o) || *but != NULL;
}

char *
opt_settings(const struct program *p, int argc, char *const *argv,
             const char *const *but)
{
    struct option longs[OPTIONS_MOST];
    struct str said[OPTIONS_MOST] = { { 0 } }, shorts = { 0 }, all = { 0 };
    char **copy = mem_array((size_t)argc + 1, sizeof *copy);
    int says = opterr, c;

    memcpy(copy, argv, (size_t)argc * sizeof *copy);
    translate_all(p, longs, &shorts);
    opterr = optind = 0;
    /* NOLINTNEXTLINE: as above. */
    while ((c = getopt_long(argc, copy, shorts.text, longs, NULL)) != -1) {
        const struct opt *o = own(p, c);
        struct str *s = o != NULL ? &said[o - p->opts] : NULL;

        if (o == NULL || left_out(o, but))
            continue;
        if (o->kind != OPT_LIST)        /* the last one holds */
            str_release(s);
        if (optarg != NULL && o->preset != NULL &&
            strcmp(optarg, o->preset) == 0)
            continue;
        str_addf(s, " --%s", o->name);
        if (o->kind != OPT_FLAG) {
            str_add(s, "=");
            add_word(s, optarg);
        }
    }
    opterr = says;
    str_add(&all, p->name);
    for (int i = 0; i < OPTIONS_MOST; i++) {
        str_add(&all, said[i].n > 0 ? said[i].text : "");
        str_release(&said[i]);
    }
    while (optind < argc) {
        str_add(&all, " ");
        add_word(&all, copy[optind++]);
    }
    str_release(&shorts);
    free(copy);
    return all.text;
}
