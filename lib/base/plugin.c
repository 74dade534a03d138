#include "base/plugin.h"

#include "base/str.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* Path of a plugin; the caller frees it. */
static char *
plugin_path(const char *name)
{
    const char *folder = getenv("BUSI_PLUGINS");
    char self[PATH_MAX];
    ssize_t n;

    if (folder != NULL && folder[0] != '\0')
        return str_format("%s/%s.so", folder, name);
    n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    return str_format("%.*s../lib/busi/%s.so",
                      (int)(str_base(self) - self), self, name);
}

void *
plugin_symbol(const char *name, const char *symbol, struct err *e)
{
    char *path = plugin_path(name);
    void *library = NULL, *found = NULL;

    if (access(path, F_OK) != 0)
        err_set(e, EXIT_IO, "%s is not built or installed ('%s' is missing)",
                name, path);
    else if ((library = dlopen(path, RTLD_NOW | RTLD_LOCAL)) == NULL ||
             (found = dlsym(library, symbol)) == NULL)
        err_set(e, EXIT_IO, "cannot load %s: %s", name, dlerror());
    free(path);
    return found;
}
