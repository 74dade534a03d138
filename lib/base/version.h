/* version: of the toolkit and of its file formats. */
#ifndef BUSI_BASE_VERSION_H
#define BUSI_BASE_VERSION_H

#define BUSI_VERSION "0.1.0"
#define BUSI_FORMAT "1"         /* metadata key "format" of our safetensors */

#endif
