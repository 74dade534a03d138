/*
 * plugin: parts of the toolkit that need libraries not every machine has.
 */
#ifndef BUSI_BASE_PLUGIN_H
#define BUSI_BASE_PLUGIN_H

#include "base/err.h"

/*
 * The address of a symbol in the plugin `name` (NAME.so in $BUSI_PLUGINS, or
 * in ../lib/busi beside the folder of the running program), which stays
 * loaded.  NULL and EXIT_IO if the plugin or a library that it needs is
 * missing; the message says which.
 */
void *plugin_symbol(const char *name, const char *symbol, struct err *e);

#endif
