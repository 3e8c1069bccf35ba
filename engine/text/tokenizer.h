/* Byte-level BPE tokenizers of the Llama-3, Qwen2 and GPT-2 kinds, and the text rules around them. */
#ifndef HM_ENGINE_TEXT_TOKENIZER_H
#define HM_ENGINE_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"

typedef struct hm_tokenizer hm_tokenizer;

/* tokenizer.json, from a file or from bytes (`where` names the source). Types not supported are HM_EFORMAT that names them. */
hm_status hm_tokenizer_open(hm_tokenizer **out, const char *path, hm_error *err);
hm_status hm_tokenizer_parse(hm_tokenizer **out, const void *data, size_t size, const char *where, hm_error *err);

/* How a Qwen2 tokenizer cuts text before merging. PLAIN is what the models were trained with. COMPAT is what the original puts in its
 * place for a model in a local folder: words end where lower case turns into upper case, contractions are no pieces of their own, and
 * slashes join the line breaks after punctuation. */
typedef enum hm_qwen2_split {
    HM_QWEN2_SPLIT_PLAIN,
    HM_QWEN2_SPLIT_COMPAT
} hm_qwen2_split;

/* Qwen2: folder with vocab.json + merges.txt, and added tokens from tokenizer_config.json (added_tokens_decoder) or added_tokens.json. */
hm_status hm_tokenizer_open_qwen2(hm_tokenizer **out, const char *folder, hm_qwen2_split split, hm_error *err);
/* Whisper: the same files, which come first as in the original, or tokenizer.json alone. */
hm_status hm_tokenizer_open_whisper(hm_tokenizer **out, const char *folder, hm_error *err);
/* Nothing changes in an open tokenizer: threads may share it. */
void hm_tokenizer_close(hm_tokenizer **tokenizer);

/* Token ids of UTF-8 text; special: run the post-processor (Llama-3: BOS first). Invalid UTF-8 is HM_EFORMAT with the byte offset.
 * *ids is malloc'ed, caller frees; NULL when *count is 0. */
hm_status hm_tokenizer_encode(const hm_tokenizer *tokenizer, const char *text, size_t size, bool special, int32_t **ids, size_t *count,
                              hm_error *err);
/* The pieces that text is cut into before merging, in order, after normalisation and without added tokens. */
typedef void (*hm_tokenizer_watch)(void *self, const char *piece, size_t size);
hm_status hm_tokenizer_pieces(const hm_tokenizer *tokenizer, const char *text, size_t size, hm_tokenizer_watch watch, void *self,
                              hm_error *err);
/* UTF-8 of ids, with U+FFFD for broken sequences; special tokens written out unless skip_special. malloc'ed, NUL-terminated.
 * An id outside 0 .. size - 1 is HM_EFORMAT; one inside that no token has writes nothing, as in the reference. */
hm_status hm_tokenizer_decode(const hm_tokenizer *tokenizer, const int32_t *ids, size_t count, bool skip_special, char **text,
                              hm_error *err);
/* Id of a token's content (added tokens first), -1 when there is none. One past the largest id. */
int32_t hm_tokenizer_id(const hm_tokenizer *tokenizer, const char *content);
int32_t hm_tokenizer_size(const hm_tokenizer *tokenizer);

/* Full Unicode lower-casing (SpecialCasing, final sigma, no locale), as Python's str.lower(). malloc'ed, NUL-terminated.
 * Invalid UTF-8 is HM_EFORMAT with the byte offset. */
hm_status hm_text_lower(char **out, const char *text, size_t size, const char *where, hm_error *err);

#endif
