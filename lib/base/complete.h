/*
 * complete: what a shell needs to complete a program's options, made from its
 * option tables.
 *
 * Every program prints it with `--completion bash`, `zsh` or `fish`; `make
 * install` asks for it.
 */
#ifndef BUSI_BASE_COMPLETE_H
#define BUSI_BASE_COMPLETE_H

#include "base/opt.h"

#include <stdio.h>

/*
 * Options of the program, then those in `common`.  After an option with words
 * to choose from come the words, after one with a file or folder these, after
 * others nothing.  -1: the shell is none of the three.
 */
int complete_print(const struct program *p, const struct opt *common,
                   const char *shell, FILE *f);

#endif
