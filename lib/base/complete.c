#include "base/complete.h"

#include "base/mem.h"

#include <stdbool.h>
#include <string.h>

enum want { WANT_NOTHING, WANT_WORDS, WANT_FILE, WANT_FOLDER };

static enum want
wanted(const struct opt *o)
{
    if (o->kind == OPT_CHOICE)
        return WANT_WORDS;
    if (o->kind == OPT_IN || o->kind == OPT_OUT || o->kind == OPT_PICTURE ||
        o->kind == OPT_LIST)
        return WANT_FILE;
    if (o->kind != OPT_TEXT)
        return WANT_NOTHING;
    if (strcmp(o->arg, "MODEL") == 0)   /* a name or a file */
        return WANT_FILE;
    return strcmp(o->arg, "DIR") == 0 ? WANT_FOLDER : WANT_NOTHING;
}

/* "a|b|c" with blanks between. */
static void
put_words(const char *words, FILE *f)
{
    for (; *words != '\0'; words++)
        fputc(*words == '|' ? ' ' : *words, f);
}

/* Text inside single quotes; characters in `special` get a backslash. */
static void
put_quoted(const char *text, const char *special, const char *quote, FILE *f)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs(quote, f);
        else if (strchr(special, *text) != NULL)
            fprintf(f, "\\%c", *text);
        else
            fputc(*text, f);
    }
}

/* The function of a program: busi-train -> _busi_train. */
static void
put_function(const char *name, FILE *f)
{
    fputc('_', f);
    for (; *name != '\0'; name++)
        fputc(*name == '-' ? '_' : *name, f);
}

/* --------------------------------------------------------------------- bash */

static void
bash_case(const struct opt *o, FILE *f)
{
    if (o->kind == OPT_FLAG)
        return;
    fputs("    ", f);
    if (o->key != 0)
        fprintf(f, "-%c|", o->key);
    fprintf(f, "--%s) ", o->name);
    switch (wanted(o)) {
    case WANT_WORDS:
        fputs("COMPREPLY=($(compgen -W '", f);
        put_words(o->arg, f);
        fputs("' -- \"$cur\")); ", f);
        break;
    case WANT_FOLDER:
        fputs("compopt -o dirnames; ", f);
        break;
    case WANT_FILE:
        break;
    case WANT_NOTHING:
        fputs("compopt +o default +o bashdefault; ", f);
    }
    fputs("return ;;\n", f);
}

static void
bash(const struct program *p, const struct opt *common, FILE *f)
{
    const struct opt *const tables[] = { p->opts, common };

    put_function(p->name, f);
    fputs("()\n{\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} i=$((COMP_CWORD - 1)) prev\n"
          "    COMPREPLY=()\n"
          "    [[ $cur == '=' ]] && cur=\n"
          "    [[ ${COMP_WORDS[i]} == '=' ]] && i=$((i - 1))\n"
          "    prev=${COMP_WORDS[i]}\n"
          "    case $prev in\n", f);
    for (size_t t = 0; t < ARRAY_LEN(tables); t++)
        for (const struct opt *o = tables[t]; o->name != NULL; o++)
            bash_case(o, f);
    fputs("    esac\n"
          "    [[ $cur == -* ]] && COMPREPLY=($(compgen -W '", f);
    for (size_t t = 0; t < ARRAY_LEN(tables); t++)
        for (const struct opt *o = tables[t]; o->name != NULL; o++) {
            if (o->key != 0)
                fprintf(f, "-%c ", o->key);
            fprintf(f, "--%s ", o->name);
        }
    fputs("' -- \"$cur\"))\n    return 0\n}\ncomplete -o bashdefault "
          "-o default -F ", f);
    put_function(p->name, f);
    fprintf(f, " %s\n", p->name);
}

/* ---------------------------------------------------------------------- zsh */

static void
zsh_opt(const struct opt *o, FILE *f)
{
    bool arg = o->kind != OPT_FLAG;

    fputs("    ", f);
    if (o->kind == OPT_LIST)
        fputs("'*'", f);
    else if (o->key != 0)
        fprintf(f, "'(-%c --%s)'", o->key, o->name);
    if (o->key != 0)
        fprintf(f, "{-%c%s,--%s%s}", o->key, arg ? "+" : "", o->name,
                arg ? "=" : "");
    else
        fprintf(f, "--%s%s", o->name, arg ? "=" : "");
    fputs("'[", f);
    put_quoted(o->help, "[]\\:", "'\\''", f);
    fputs("]", f);
    if (arg) {
        fputs(":", f);
        put_quoted(o->arg, "[]\\:", "'\\''", f);
        fputs(":", f);
    }
    switch (wanted(o)) {
    case WANT_WORDS:
        fputs("(", f);
        put_words(o->arg, f);
        fputs(")", f);
        break;
    case WANT_FILE:
        fputs("_files", f);
        break;
    case WANT_FOLDER:
        fputs("_files -/", f);
        break;
    case WANT_NOTHING:
        break;
    }
    fputs("' \\\n", f);
}

static void
zsh(const struct program *p, const struct opt *common, FILE *f)
{
    fprintf(f, "#compdef %s\n_arguments -s -S \\\n", p->name);
    for (const struct opt *o = p->opts; o->name != NULL; o++)
        zsh_opt(o, f);
    for (const struct opt *o = common; o->name != NULL; o++)
        zsh_opt(o, f);
    fputs(p->args[0] != '\0' ? "    '*:file:_files'\n" : "    && return\n",
          f);
}

/* --------------------------------------------------------------------- fish */

static void
fish_opt(const struct program *p, const struct opt *o, FILE *f)
{
    fprintf(f, "complete -c %s -l %s", p->name, o->name);
    if (o->key != 0)
        fprintf(f, " -s %c", o->key);
    if (o->kind != OPT_FLAG)
        switch (wanted(o)) {
        case WANT_WORDS:
            fputs(" -x -a '", f);
            put_words(o->arg, f);
            fputs("'", f);
            break;
        case WANT_FILE:
            fputs(" -r -F", f);
            break;
        case WANT_FOLDER:
            fputs(" -x -a '(__fish_complete_directories)'", f);
            break;
        case WANT_NOTHING:
            fputs(" -x", f);
        }
    fputs(" -d '", f);
    put_quoted(o->help, "\\", "\\'", f);
    fputs("'\n", f);
}

static void
fish(const struct program *p, const struct opt *common, FILE *f)
{
    for (const struct opt *o = p->opts; o->name != NULL; o++)
        fish_opt(p, o, f);
    for (const struct opt *o = common; o->name != NULL; o++)
        fish_opt(p, o, f);
}

int
complete_print(const struct program *p, const struct opt *common,
               const char *shell, FILE *f)
{
    if (strcmp(shell, "bash") == 0)
        bash(p, common, f);
    else if (strcmp(shell, "zsh") == 0)
        zsh(p, common, f);
    else if (strcmp(shell, "fish") == 0)
        fish(p, common, f);
    else
        return -1;
    return 0;
}
