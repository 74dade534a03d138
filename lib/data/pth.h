/*
 * pth: what torch.save() wrote, read without running any of it.
 *
 * Since PyTorch 1.6 such a file is a zip archive whose entries are stored as
 * they are: `NAME/data.pkl`, a pickle (protocol 2) that says which tensor lies
 * where, and `NAME/data/0`, `1`, ... with the numbers.  A pickle is a program;
 * of it only what describes tensors in dictionaries is understood here, and
 * nothing is ever called: a file that wants anything else is refused with the
 * name of what it wants.
 */
#ifndef BUSI_DATA_PTH_H
#define BUSI_DATA_PTH_H

#include "base/err.h"
#include "data/safet.h"

#include <stdbool.h>

/* Does the file begin as torch.save()'s do, those before 1.6 too? */
bool pth_look(const char *path);

/*
 * Open as if it were a safetensors file without metadata; safet_close() ends
 * it.  Tensors are those of the dictionary, or of the one in it that is called
 * state_dict, model_state_dict, model or net; "module.", "_orig_mod." and
 * "model." in front of names are cut off (DistributedDataParallel, compile,
 * Lightning).  Errors (EXIT_INVALID): no whole archive, compressed entries, other
 * objects than tensors of plain numbers, tensors that are not contiguous.
 */
int pth_open(struct safet *s, const char *path, struct err *e);

#endif
