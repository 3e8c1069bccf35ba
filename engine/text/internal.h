/* Parts of the tokenizer, private to engine/text. */
#ifndef HM_ENGINE_TEXT_INTERNAL_H
#define HM_ENGINE_TEXT_INTERNAL_H

#include "engine/base/json.h"
#include "engine/text/tokenizer.h"

#define HM_TEXT_MAX_BYTES ((size_t)64 << 20) /* of one text to encode or lower: positions fit int32 with room to spare */
#define HM_TOKEN_ID_MAX ((1 << 24) - 1)
#define HM_QUOTE_BYTES 80

/* ---- utf8.c ---- */

/* Code point at text[*at], *at < size; *at moves past it. For a broken sequence -1, and *at moves past its longest valid beginning
 * (at least one byte): what Unicode replaces by one U+FFFD. */
int32_t hm_utf8_next(const char *text, size_t size, size_t *at);
/* HM_EFORMAT with the byte offset when text is not UTF-8 or longer than HM_TEXT_MAX_BYTES. */
hm_status hm_utf8_check(const char *text, size_t size, const char *where, hm_error *err);
/* text for a message: cut at a code point when long. Returns out. */
const char *hm_text_quote(char out[HM_QUOTE_BYTES], const char *text, size_t size);
/* GPT-2's byte map: printable bytes stand for themselves, the other 68 for U+0100 onwards. */
int32_t hm_byte_to_symbol(uint8_t byte);
int hm_symbol_to_byte(int32_t code_point); /* -1: not a symbol */
/* Byte-mapped text of bytes, at most 2 * size into out; returns its size. */
size_t hm_bytes_to_symbols(char *out, const char *bytes, size_t size);

/* ---- unicode.c ---- */

/* NFC. *out is malloc'ed, caller frees. */
hm_status hm_text_nfc(char **out, size_t *out_size, const char *text, size_t size, const char *where, hm_error *err);

/* ---- tables.c ---- */

/* Hash table from a pair of non-negative numbers to two numbers; room is fixed when opened. */
typedef struct hm_pair_value {
    int32_t rank, id;
} hm_pair_value;
typedef struct hm_pairs {
    uint64_t *keys;
    hm_pair_value *values;
    size_t mask;
} hm_pairs;
hm_status hm_pairs_open(hm_pairs *pairs, size_t count, const char *what, hm_error *err);
void hm_pairs_close(hm_pairs *pairs);
/* A pair put again takes the later value. */
void hm_pairs_put(hm_pairs *pairs, int32_t left, int32_t right, hm_pair_value value);
const hm_pair_value *hm_pairs_find(const hm_pairs *pairs, int32_t left, int32_t right); /* NULL: none */

enum {
    HM_TOKEN_VOCAB = 1,
    HM_TOKEN_ADDED = 2,
    HM_TOKEN_SPECIAL = 4,
    HM_TOKEN_NORMALIZED = 8
};

typedef struct hm_token {
    size_t offset; /* of its text in hm_vocab.text */
    uint32_t size; /* bytes of its text */
    uint32_t hash; /* low half of XXH3 of its text */
    int32_t id;
    uint8_t kinds; /* HM_TOKEN_ bits; text is byte-mapped when HM_TOKEN_VOCAB alone is set */
} hm_token;
/* Tokens by text and by id, each text and each id once. */
typedef struct hm_vocab {
    char *text;
    size_t text_used, text_room, longest; /* bytes */
    hm_token *tokens;
    size_t count, room;
    uint32_t *slots; /* index into tokens plus one; 0: free */
    size_t mask;
    uint32_t *by_id;       /* the same, by id */
    int32_t size, id_room; /* one past the largest id */
} hm_vocab;
hm_status hm_vocab_open(hm_vocab *vocab, size_t room, const char *where, hm_error *err);
void hm_vocab_close(hm_vocab *vocab);
/* A text already there must come with the same id, and its kinds are united. */
hm_status hm_vocab_add(hm_vocab *vocab, const char *text, size_t size, int64_t id, uint8_t kinds, const char *where, hm_error *err);
const hm_token *hm_vocab_find(const hm_vocab *vocab, const char *text, size_t size, uint8_t kinds); /* having any of kinds, or NULL */
const hm_token *hm_vocab_at(const hm_vocab *vocab, int32_t id);                                     /* NULL: id not used */

/* ---- added.c ---- */

/* Byte trie of the added tokens that one pass cuts out of a text. */
typedef struct hm_added {
    hm_pairs edges; /* (node, byte) -> id: node */
    int32_t *ids;   /* token id of a node, -1: none ends there */
    int32_t nodes;  /* 0: no tokens; node 0 is the root */
} hm_added;
/* The tokens of vocab that are added and whose HM_TOKEN_NORMALIZED bit is as given; their text in NFC when nfc. */
hm_status hm_added_open(hm_added *added, const hm_vocab *vocab, bool normalized, bool nfc, const char *where, hm_error *err);
void hm_added_close(hm_added *added);
/* Leftmost token at or after from, the longest that begins there; false when there is none. */
bool hm_added_find(const hm_added *added, const char *text, size_t size, size_t from, size_t *begin, size_t *end, int32_t *id);

/* ---- split.c ---- */

/* How GPT-2 cuts text: what ByteLevel means where it cuts by itself. */
#define HM_GPT2_SPLIT "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* A compiled split pattern, and a walk over one text with it. */
typedef struct hm_split hm_split;
hm_status hm_split_open(hm_split **out, const char *regex, const char *where, hm_error *err);
void hm_split_close(hm_split **split);

typedef struct hm_splitter hm_splitter;
hm_status hm_splitter_open(hm_splitter **out, const hm_split *split, hm_error *err);
void hm_splitter_close(hm_splitter **splitter);
void hm_splitter_start(hm_splitter *splitter, const char *text, size_t size); /* valid UTF-8 */
/* Next piece: a match or the gap before one. *begin == *end after the last. */
hm_status hm_splitter_next(hm_splitter *splitter, size_t *begin, size_t *end, hm_error *err);

/* ---- bpe.c ---- */

typedef struct hm_ids {
    int32_t *ids;
    size_t count, room;
} hm_ids;
hm_status hm_ids_push(hm_ids *ids, int32_t id, hm_error *err);

typedef struct hm_bpe_symbol {
    int32_t id, prev, next; /* id -1: merged into the one before; prev, next -1: none */
} hm_bpe_symbol;
typedef struct hm_bpe_scratch {
    hm_bpe_symbol *symbols; /* one per byte of the piece */
    uint64_t *heap;         /* rank << 32 | position, smallest first; room for two per byte */
    size_t room;            /* bytes of the longest piece that fits */
} hm_bpe_scratch;
void hm_bpe_scratch_close(hm_bpe_scratch *scratch);
/* Appends the ids of one piece (size >= 1). */
hm_status hm_bpe_piece(const hm_tokenizer *tokenizer, hm_bpe_scratch *scratch, const char *piece, size_t size, hm_ids *ids, hm_error *err);

/* ---- tokenizer.c, load.c, load_qwen2.c ---- */

struct hm_tokenizer {
    hm_vocab vocab;
    hm_pairs merges;          /* (left id, right id) -> rank, merged id */
    int32_t byte_id[256];     /* token of a single byte */
    hm_added raw, normalized; /* cut out before and after normalising */
    hm_split *split;          /* NULL: no pattern, the text is one piece */
    hm_ids before, after;     /* what the post-processor puts around the ids */
    bool nfc, ignore_merges;
};

/* Steps common to both kinds of source. */
/* The vocabulary comes first, and has a token for every byte. */
hm_status hm_tokenizer_add_vocab(hm_tokenizer *t, const json_t *vocab, const char *where, hm_error *err);
hm_status hm_tokenizer_add_token(hm_tokenizer *t, const json_t *token, int64_t id, const char *where, hm_error *err);
hm_status hm_tokenizer_add_merge(hm_tokenizer *t, const char *left, size_t left_size, const char *right, size_t right_size, int32_t rank,
                                 const char *where, hm_error *err);
/* One merge as text: two tokens with one space between. */
hm_status hm_tokenizer_add_merge_line(hm_tokenizer *t, const char *line, size_t size, int32_t rank, const char *where, hm_error *err);
/* After vocab, added tokens and merges: the tries. */
hm_status hm_tokenizer_finish(hm_tokenizer *t, const char *where, hm_error *err);

#endif
