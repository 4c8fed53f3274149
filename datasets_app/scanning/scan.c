/* A fast look at the lines of a chat file (JSON Lines).

A line is OK when it is perfect beyond doubt: one object with "messages", a list of {"role", "content"} that begins
with at most one system text and then alternates user, assistant, …, user, assistant; contents not blank, free of
control characters and of anything else that the careful reader has words for; beside it only plain values under
names of PLAIN_KEYS, none of them twice. Of such a line digests, counts and flags are kept. Every other line is
LOOK: the careful reader (datasets_app/reading) decides. So this file may be too strict, never too lenient;
tests/datasets_app/test_scanning.py holds the two together.

The caller gives all memory. `buffer` must be followed by PADDING readable bytes, `scratch` must hold `length` +
2 * PADDING bytes. Nothing is allocated, nothing is kept between calls.

scan_body.h is compiled once for each width of vector; scan() takes the widest that the processor has. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PADDING 64

/* datasets_app/scanning/flags.py says what these mean. */
enum { MAY_HOLD_ADDRESS = 1, MAY_HOLD_NUMBER = 2, MAY_HOLD_KEY = 4, MAY_BE_TEST_QUESTION = 8, LOOK = 16, IN_SAMPLE = 32 };
enum { SYSTEM, USER, ASSISTANT };

/* datasets_app/scanning/library.py repeats this as a ctypes.Structure. */
typedef struct {
    /* OK lines, one entry each */
    uint64_t *prompt, *row;
    uint32_t *check, *line, *turns;
    uint32_t *characters[3]; /* by role */
    uint64_t capacity, count;
    /* lines to look at: all that are LOOK, and OK ones with other flags */
    uint64_t *look_offset, *look_length;
    uint32_t *look_line, *look_flags;
    uint64_t look_capacity, look_count;
    /* bit number (fingerprint & mask) is set for each known test question */
    const uint64_t *known;
    uint64_t known_mask;
    /* of all lines about sample_below / 2^32 are IN_SAMPLE */
    uint64_t sample_below;
    uint8_t *scratch;
    /* what was done */
    uint64_t consumed, lines;
} Batch;

typedef struct {
    uint64_t a, b;
} Digest;

/* --- digests: not for keeping, only to compare rows within one run --------------------------------------- */

#define K1 0xa0761d6478bd642full
#define K2 0xe7037ed1a0b428dbull
#define K3 0x8ebc6af09c88c6e3ull
#define K4 0x589965cc75374cc3ull

static inline uint64_t mix(uint64_t x, uint64_t y)
{
    __uint128_t product = (__uint128_t)x * y;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t word_at(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

static inline Digest digest_of(const uint8_t *p, size_t length)
{
    uint64_t a = K1 ^ length, b = K2;
    uint8_t tail[32] = {0};
    size_t left = length;
    for (; left >= 32; left -= 32, p += 32) {
        a = mix(word_at(p) ^ K3, word_at(p + 8) ^ a);
        b = mix(word_at(p + 16) ^ K4, word_at(p + 24) ^ b);
    }
    memcpy(tail, p, left);
    a = mix(word_at(tail) ^ K3, word_at(tail + 8) ^ a);
    b = mix(word_at(tail + 16) ^ K4, word_at(tail + 24) ^ b);
    return (Digest){mix(a ^ K4, b ^ K1), mix(a ^ K2, b + K3)};
}

static inline Digest chained(Digest before, int role, Digest content)
{
    return (Digest){mix(before.a ^ content.a, K1 + (uint64_t)role) + before.b,
                    mix(before.b ^ content.b, K2 - (uint64_t)role) ^ before.a};
}

/* For rows that did not come this way: `state` (two words, zero at first) with one more message. */
void apex_digest(uint64_t *state, int role, const uint8_t *content, size_t length)
{
    Digest now = chained((Digest){state[0], state[1]}, role, digest_of(content, length));
    state[0] = now.a;
    state[1] = now.b;
}

/* --- characters ------------------------------------------------------------------------------------------ */

/* The bytes of the character at p, which is beyond ASCII; 0 when it is no UTF-8, or one that the careful reader may
   remark upon. Sets *visible when it is surely not white space. */
static inline int plain_character(const uint8_t *p, const uint8_t *end, int *visible)
{
    uint8_t c = p[0];
    if (c < 0xe0) {
        if (c < 0xc2 || end - p < 2 || (p[1] & 0xc0) != 0x80)
            return 0;
        if (c == 0xc2 && p[1] <= 0xa0)
            return p[1] == 0xa0 ? 2 : 0; /* C1 controls; the no-break space is plain, but nothing to see */
        if (c == 0xc3 && (p[1] == 0x82 || p[1] == 0x83 ||
                          (p[1] == 0xa2 && end - p >= 5 && p[2] == 0xe2 && p[3] == 0x82 && p[4] == 0xac)))
            return 0; /* checking/damage.py: it may be UTF-8 that was read as another encoding */
        *visible = 1;
        return 2;
    }
    if (c < 0xf0) {
        if (end - p < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
            return 0;
        uint32_t code = (uint32_t)(c & 15) << 12 | (uint32_t)(p[1] & 63) << 6 | (p[2] & 63);
        /* Too long; Ogham and Mongolian spaces; spaces, breaks of lines and marks of direction; surrogates and
           private use; noncharacters, selectors of variants, the byte order mark and what stands for an unknown
           character. Dashes, quotation marks and the ellipsis are plain. */
        if (code < 0x800 || code == 0x1680 || code == 0x180e || (code >= 0x2000 && code < 0x2010) ||
            (code >= 0x2028 && code < 0x2030) || (code >= 0x205f && code < 0x2070) ||
            (code >= 0xd800 && code < 0xf900) || (code >= 0xfdd0 && code < 0xfdf0) ||
            (code >= 0xfe00 && code < 0xfe0f) || code == 0xfeff || code >= 0xfff0)
            return 0;
        if (code != 0x3000)
            *visible = 1;
        return 3;
    }
    if (c >= 0xf4 || end - p < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 || (p[3] & 0xc0) != 0x80)
        return 0;
    uint32_t code = (uint32_t)(c & 7) << 18 | (uint32_t)(p[1] & 63) << 12 | (uint32_t)(p[2] & 63) << 6 | (p[3] & 63);
    if (code < 0x10000 || code >= 0xe0000 || (code & 0xfffe) == 0xfffe)
        return 0;
    *visible = 1;
    return 4;
}

static inline int is_digit(uint8_t c) { return (uint8_t)(c - '0') < 10; }
static inline int is_alphanumeric(uint8_t c) { return is_digit(c) || (uint8_t)((c | 32) - 'a') < 26; }

static inline int hex_value(uint8_t c)
{
    if (is_digit(c))
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline int32_t hex4(const uint8_t *p)
{
    int a = hex_value(p[0]), b = hex_value(p[1]), c = hex_value(p[2]), d = hex_value(p[3]);
    return (a | b | c | d) < 0 ? -1 : a << 12 | b << 8 | c << 4 | d;
}

/* --- known test questions (datasets_app/checking/contamination.py) ---------------------------------------- */

#define BEGINNING 48
#define MODULUS ((1ull << 61) - 1)

/* Lower-case letters and digits stay, all else is 0. */
static const uint8_t COMPACT[256] = {
    ['0'] = '0', '1', '2', '3', '4', '5', '6', '7', '8', '9',
    ['A'] = 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm',
    'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
    ['a'] = 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm',
    'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
};

static uint64_t fingerprint(const uint8_t *beginning)
{
    uint64_t hash = 0;
    for (int i = 0; i < BEGINNING; i += 8) {
        uint64_t word = 0;
        for (int k = 0; k < 8; k++)
            word = word << 8 | beginning[i + k];
        __uint128_t wide = ((__uint128_t)hash << 64) | word;
        uint64_t sum = (uint64_t)(wide & MODULUS) + (uint64_t)((wide >> 61) & MODULUS) + (uint64_t)(wide >> 122);
        sum = (sum & MODULUS) + (sum >> 61);
        hash = sum >= MODULUS ? sum - MODULUS : sum;
    }
    return hash;
}

static int may_be_test_question(const Batch *batch, const uint8_t *text, const uint8_t *end)
{
    const uint8_t *start = text;
    while (start) {
        uint8_t beginning[BEGINNING + 1];
        int kept = 0;
        for (const uint8_t *p = start; p < end && kept < BEGINNING; p++) {
            beginning[kept] = COMPACT[*p];
            kept += COMPACT[*p] != 0;
        }
        if (kept < BEGINNING)
            return 0;
        uint64_t bit = fingerprint(beginning) & batch->known_mask;
        if (batch->known[bit >> 6] >> (bit & 63) & 1)
            return 1;
        start = memchr(start, '\n', (size_t)(end - start));
        if (start)
            start++;
    }
    return 0;
}

/* --- keys and addresses (datasets_app/checking/privacy.py) ------------------------------------------------- */

static inline int begins(const uint8_t *p, const char *mark) { return !memcmp(p, mark, strlen(mark)); }

/* Whether a mark of KEY_MARKS may lie around p: `-` or `_` for those that hold one, else their first or second
   character. PADDING and the line's own beginning make the bytes around p readable. */
static int is_key_mark(const uint8_t *p)
{
    switch (*p) {
    case '-':
        return begins(p - 2, "sk") || begins(p - 5, "glpat") || begins(p - 4, "pypi") || begins(p - 5, "nvapi") ||
               begins(p, "-----BEGIN");
    case '_':
        return begins(p - 2, "sk") || begins(p - 2, "rk") || begins(p - 2, "hf") || begins(p - 3, "npm") ||
               (p[-3] == 'g' && p[-2] == 'h') || begins(p - 6, "github");
    case 'A':
        return begins(p, "AKIA") || begins(p, "ASIA") || begins(p, "AIza");
    case 'y':
        return p[-1] == 'e' && p[1] == 'J';
    case 'x':
        return begins(p, "xox");
    }
    return 0;
}

static inline int is_address_mark(const uint8_t *p)
{
    uint8_t before = p[-1];
    return (is_alphanumeric(before) || before == '.' || before == '_' || before == '+' || before == '-' ||
            before >= 0x80) &&
           (is_alphanumeric(p[1]) || p[1] == '-');
}

/* --- names ------------------------------------------------------------------------------------------------- */

/* Names beside "messages" that mean nothing to any format: they may hold plain values. */
static const char *const PLAIN_KEYS[] = {"id", "uuid", "source", "category", "language", "lang", "topic", "domain",
                                         "index", "idx", "title", "url", "date", "created_at", "quality"};
#define PLAIN_KEY_COUNT (sizeof PLAIN_KEYS / sizeof *PLAIN_KEYS)

static int plain_key(const uint8_t *name, size_t length)
{
    for (size_t i = 0; i < PLAIN_KEY_COUNT; i++)
        if (strlen(PLAIN_KEYS[i]) == length && !memcmp(PLAIN_KEYS[i], name, length))
            return (int)i;
    return -1;
}

/* A plain number of at most 15 digits, without an exponent; or NULL. */
static const uint8_t *after_number(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *start = p;
    if (p < end && *p == '-')
        p++;
    if (p == end || !is_digit(*p) || (*p == '0' && p + 1 < end && is_digit(p[1])))
        return NULL;
    while (p < end && is_digit(*p))
        p++;
    if (p < end && *p == '.') {
        p++;
        if (p == end || !is_digit(*p))
            return NULL;
        while (p < end && is_digit(*p))
            p++;
    }
    if (p - start > 16 || (p < end && (*p == 'e' || *p == 'E')))
        return NULL;
    return p;
}

/* --- signatures --------------------------------------------------------------------------------------------- */

#define PERMUTATIONS 128

static inline uint64_t scattered(uint64_t x)
{
    x = (x ^ x >> 31) * 0x7fb5d329728ea185ull;
    x = (x ^ x >> 27) * 0x81dadef4bc2dd44dull;
    return x ^ x >> 33;
}

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#if defined(__x86_64__) && !defined(APEX_PORTABLE)
#include <immintrin.h>

#define WIDTH 16
#define NAME(name) JOIN(name, _sse2)
#include "scan_body.h"
#include "sign_body.h"
#undef WIDTH
#undef NAME

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,bmi,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,popcnt")
#endif
#define WIDTH 32
#define NAME(name) JOIN(name, _avx2)
#include "scan_body.h"
#include "sign_body.h"
#undef WIDTH
#undef NAME
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static int is_wide(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("popcnt");
}

void apex_scan(const uint8_t *buffer, size_t length, int is_last, uint64_t first_line, Batch *batch)
{
    (is_wide() ? scan_avx2 : scan_sse2)(buffer, length, is_last, first_line, batch);
}

void apex_sign(const uint8_t *text, size_t length, const uint32_t *multipliers, const uint32_t *offsets,
               uint32_t *signature)
{
    (is_wide() ? sign_avx2 : sign_sse2)(text, length, multipliers, offsets, signature);
}

#else

#define WIDTH 16
#define NAME(name) JOIN(name, _portable)
#define PORTABLE 1
#include "scan_body.h"
#include "sign_body.h"

void apex_scan(const uint8_t *buffer, size_t length, int is_last, uint64_t first_line, Batch *batch)
{
    scan_portable(buffer, length, is_last, first_line, batch);
}

/* The least value of each of PERMUTATIONS permutations over all runs of three words; `multipliers` are odd. */
void apex_sign(const uint8_t *text, size_t length, const uint32_t *multipliers, const uint32_t *offsets,
               uint32_t *signature)
{
    sign_portable(text, length, multipliers, offsets, signature);
}

#endif
