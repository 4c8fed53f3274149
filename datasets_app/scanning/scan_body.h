/* The part of scan.c that works on WIDTH bytes at once; NAME(x) gives its functions names of their own. */

/* A Vector is WIDTH bytes, a Set says which of them have been chosen, bits() gives a Set as a number. */
#if defined(PORTABLE)
typedef const uint8_t *NAME(Vector);
typedef uint32_t NAME(Set);
static inline NAME(Vector) NAME(load)(const uint8_t *p) { return p; }
static inline void NAME(store)(uint8_t *p, NAME(Vector) v) { memcpy(p, v, WIDTH); }
static inline NAME(Set) NAME(equal)(NAME(Vector) v, uint8_t c)
{
    uint32_t mask = 0;
    for (int i = 0; i < WIDTH; i++)
        mask |= (uint32_t)(v[i] == c) << i;
    return mask;
}
static inline NAME(Set) NAME(in_range)(NAME(Vector) v, uint8_t low, uint8_t high)
{
    uint32_t mask = 0;
    for (int i = 0; i < WIDTH; i++)
        mask |= (uint32_t)(v[i] >= low && v[i] <= high) << i;
    return mask;
}
static inline uint32_t NAME(beyond_ascii)(NAME(Vector) v) { return NAME(in_range)(v, 0x80, 0xff); }
static inline NAME(Set) NAME(either)(NAME(Set) a, NAME(Set) b) { return a | b; }
static inline NAME(Set) NAME(both)(NAME(Set) a, NAME(Set) b) { return a & b; }
static inline uint32_t NAME(bits)(NAME(Set) set) { return set; }
#elif WIDTH == 32
typedef __m256i NAME(Vector);
typedef __m256i NAME(Set);
static inline NAME(Vector) NAME(load)(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline void NAME(store)(uint8_t *p, NAME(Vector) v) { _mm256_storeu_si256((__m256i *)p, v); }
static inline NAME(Set) NAME(equal)(NAME(Vector) v, uint8_t c)
{
    return _mm256_cmpeq_epi8(v, _mm256_set1_epi8((char)c));
}
static inline NAME(Set) NAME(in_range)(NAME(Vector) v, uint8_t low, uint8_t high)
{
    NAME(Vector) shifted = _mm256_sub_epi8(v, _mm256_set1_epi8((char)low));
    return _mm256_cmpeq_epi8(_mm256_min_epu8(shifted, _mm256_set1_epi8((char)(high - low))), shifted);
}
static inline uint32_t NAME(beyond_ascii)(NAME(Vector) v) { return (uint32_t)_mm256_movemask_epi8(v); }
static inline NAME(Set) NAME(either)(NAME(Set) a, NAME(Set) b) { return _mm256_or_si256(a, b); }
static inline NAME(Set) NAME(both)(NAME(Set) a, NAME(Set) b) { return _mm256_and_si256(a, b); }
static inline uint32_t NAME(bits)(NAME(Set) set) { return (uint32_t)_mm256_movemask_epi8(set); }
#else
typedef __m128i NAME(Vector);
typedef __m128i NAME(Set);
static inline NAME(Vector) NAME(load)(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
static inline void NAME(store)(uint8_t *p, NAME(Vector) v) { _mm_storeu_si128((__m128i *)p, v); }
static inline NAME(Set) NAME(equal)(NAME(Vector) v, uint8_t c) { return _mm_cmpeq_epi8(v, _mm_set1_epi8((char)c)); }
static inline NAME(Set) NAME(in_range)(NAME(Vector) v, uint8_t low, uint8_t high)
{
    NAME(Vector) shifted = _mm_sub_epi8(v, _mm_set1_epi8((char)low));
    return _mm_cmpeq_epi8(_mm_min_epu8(shifted, _mm_set1_epi8((char)(high - low))), shifted);
}
static inline uint32_t NAME(beyond_ascii)(NAME(Vector) v) { return (uint32_t)_mm_movemask_epi8(v); }
static inline NAME(Set) NAME(either)(NAME(Set) a, NAME(Set) b) { return _mm_or_si128(a, b); }
static inline NAME(Set) NAME(both)(NAME(Set) a, NAME(Set) b) { return _mm_and_si128(a, b); }
static inline uint32_t NAME(bits)(NAME(Set) set) { return (uint32_t)_mm_movemask_epi8(set); }
#endif

/* Whether nine digits have come with nothing but separators between them; *run is how many there are so far. */
static inline int NAME(has_nine_digits)(NAME(Vector) v, uint32_t digits, uint32_t used, uint32_t *run)
{
    NAME(Set) separators = NAME(either)(NAME(either)(NAME(equal)(v, ' '), NAME(equal)(v, '\\')),
                                        NAME(either)(NAME(in_range)(v, '-', '/'), NAME(in_range)(v, '(', ')')));
    uint32_t breaks = ~(digits | NAME(bits)(separators)) & used;
    if (*run + (uint32_t)__builtin_popcount(digits) < 9) {
        uint32_t behind = breaks ? ~(0xffffffffu >> __builtin_clz(breaks)) : 0xffffffffu; /* the last break */
        *run = (breaks ? 0 : *run) + (uint32_t)__builtin_popcount(digits & behind);
        return 0;
    }
    while (breaks) {
        uint32_t below = (breaks & -breaks) - 1;
        *run += (uint32_t)__builtin_popcount(digits & below);
        if (*run >= 9)
            return 1;
        *run = 0;
        digits &= ~below;
        breaks &= breaks - 1;
    }
    *run += (uint32_t)__builtin_popcount(digits);
    return *run >= 9;
}

/* Whether text is UTF-8 without anything that the careful reader may remark upon; adds the bytes that continue a
   character to *more, and sets *visible when a character is surely not white space. WIDTH bytes behind `end` are
   readable. */
static inline int NAME(is_plain_utf8)(const uint8_t *p, const uint8_t *end, size_t *more, int *visible)
{
    while (p < end) {
        uint32_t high = NAME(beyond_ascii)(NAME(load)(p));
        if (!high) {
            p += WIDTH;
            continue;
        }
        p += __builtin_ctz(high);
        while (p < end && *p >= 0x80) {
            int size = plain_character(p, end, visible);
            if (!size)
                return 0;
            *more += (size_t)size - 1;
            p += size;
        }
    }
    return 1;
}

/* Reads the text whose first byte is at *at, behind its opening quote, into `out`, without escapes. Returns its
   length and puts *at behind the closing quote; or -1 for a text to look at. *seen gathers flags, *high is set
   when there are bytes beyond ASCII, *visible when there is surely something to see. */
static inline int64_t NAME(read_text)(const uint8_t **at, const uint8_t *end, uint8_t *out, uint32_t *seen,
                                      int *high, int *visible)
{
    const uint8_t *p = *at;
    uint8_t *start = out;
    uint32_t run = 0, flags = 0, ink = 0, beyond = 0;
    while (p < end) {
        NAME(Vector) v = NAME(load)(p);
        NAME(store)(out, v);
        NAME(Set) ends = NAME(either)(NAME(either)(NAME(equal)(v, '"'), NAME(equal)(v, '\\')),
                                      NAME(either)(NAME(in_range)(v, 0, 0x1f), NAME(equal)(v, 0x7f)));
        uint32_t stops = NAME(bits)(ends);
        uint32_t used = stops ? (stops & -stops) - 1 : (uint32_t)((1ull << WIDTH) - 1);
        beyond |= NAME(beyond_ascii)(v) & used;
        if (!ink)
            ink = NAME(bits)(NAME(in_range)(v, 0x21, 0x7e)) & used;

        uint32_t digits = NAME(bits)(NAME(in_range)(v, '0', '9')) & used;
        if (digits | run)
            flags |= NAME(has_nine_digits)(v, digits, used, &run) ? MAY_HOLD_NUMBER : 0;
        NAME(Vector) next = NAME(load)(p + 1);
        NAME(Set) joints = NAME(either)(NAME(equal)(v, '-'), NAME(equal)(v, '_'));
        NAME(Set) capital = NAME(both)(NAME(equal)(v, 'A'), NAME(either)(NAME(either)(NAME(equal)(next, 'K'),
                                                                                     NAME(equal)(next, 'S')),
                                                                         NAME(equal)(next, 'I')));
        NAME(Set) others = NAME(either)(NAME(either)(NAME(both)(NAME(equal)(v, 'y'), NAME(equal)(next, 'J')),
                                                     NAME(both)(NAME(equal)(v, 'x'), NAME(equal)(next, 'o'))),
                                        NAME(either)(NAME(both)(NAME(equal)(v, '{'), NAME(equal)(next, '{')),
                                                     NAME(equal)(v, '@')));
        uint32_t marks = NAME(bits)(NAME(either)(joints, NAME(either)(capital, others)));
        if (marks & used) { /* `-` and `_` only behind the last letter of a mark, and rows of dashes */
            NAME(Vector) last = NAME(load)(p - 1);
            NAME(Set) letters = NAME(either)(
                NAME(either)(NAME(either)(NAME(equal)(last, 'k'), NAME(equal)(last, 't')),
                             NAME(either)(NAME(equal)(last, 'i'), NAME(equal)(last, 'f'))),
                NAME(either)(NAME(either)(NAME(equal)(last, 'm'), NAME(equal)(last, 'b')),
                             NAME(either)(NAME(in_range)(last, 'o', 'u'), NAME(equal)(next, '-'))));
            marks &= ~NAME(bits)(joints) | NAME(bits)(letters);
        }
        for (marks &= used; marks; marks &= marks - 1) {
            const uint8_t *mark = p + __builtin_ctz(marks);
            if (*mark == '{')
                return -1; /* perhaps a placeholder that nobody filled in */
            if (*mark == '@')
                flags |= is_address_mark(mark) ? MAY_HOLD_ADDRESS : 0;
            else
                flags |= is_key_mark(mark) ? MAY_HOLD_KEY : 0;
        }
        if (!stops) {
            p += WIDTH;
            out += WIDTH;
            continue;
        }
        int ahead = __builtin_ctz(stops);
        p += ahead;
        out += ahead;
        if (p >= end)
            return -1;
        if (*p == '"') {
            *at = p + 1;
            *seen |= flags;
            *high |= beyond != 0;
            *visible |= ink != 0;
            return out - start;
        }
        if (*p != '\\')
            return -1;
        switch (p[1]) {
        case 'n': *out++ = '\n'; p += 2; run = 0; break;
        case '"': *out++ = '"'; p += 2; run = 0; ink = 1; break;
        case 't': *out++ = '\t'; p += 2; run = 0; break;
        case 'r': *out++ = '\r'; p += 2; run = 0; break;
        case '/': *out++ = '/'; p += 2; ink = 1; break;
        case '\\':
            if (p[2] == 'n' || p[2] == 'r' || p[2] == 't')
                return -1; /* the two characters \n where a line break may have been meant */
            *out++ = '\\'; p += 2; ink = 1;
            break;
        case 'u': {
            int32_t code = hex4(p + 2);
            if (code < 0x20 || code == 0x7f || code == '{') /* a brace may open a placeholder */
                return -1;
            p += 6;
            if (code < 0x80) {
                *out++ = (uint8_t)code;
                ink |= code > 0x20;
                flags |= MAY_HOLD_ADDRESS | MAY_HOLD_NUMBER | MAY_HOLD_KEY; /* unseen among the raw bytes */
                break;
            }
            run = 0;
            beyond = 1;
            if (code < 0x800) {
                *out++ = (uint8_t)(0xc0 | code >> 6);
                *out++ = (uint8_t)(0x80 | (code & 63));
                break;
            }
            if (code >= 0xd800 && code < 0xe000) {
                if (code >= 0xdc00 || p[0] != '\\' || p[1] != 'u')
                    return -1;
                int32_t low = hex4(p + 2);
                if (low < 0xdc00 || low >= 0xe000)
                    return -1;
                p += 6;
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                *out++ = (uint8_t)(0xf0 | code >> 18);
                *out++ = (uint8_t)(0x80 | (code >> 12 & 63));
            } else {
                *out++ = (uint8_t)(0xe0 | code >> 12);
            }
            *out++ = (uint8_t)(0x80 | (code >> 6 & 63));
            *out++ = (uint8_t)(0x80 | (code & 63));
            break;
        }
        default: return -1;
        }
    }
    return -1;
}

static inline const uint8_t *NAME(after_space)(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p;
}

#define SKIP(p) (p = NAME(after_space)(p, end))
#define TAKE(p, c)                                                                                                  \
    do {                                                                                                           \
        SKIP(p);                                                                                                   \
        if (p >= end || *p != (c))                                                                                 \
            return NULL;                                                                                           \
        p++;                                                                                                       \
        SKIP(p);                                                                                                   \
    } while (0)

/* One {"role": …, "content": …}; returns the place behind it, or NULL. The text is left in batch->scratch. */
static inline const uint8_t *NAME(read_message)(const uint8_t *p, const uint8_t *end, Batch *batch, int *role,
                                                int64_t *length, size_t *characters, uint32_t *seen)
{
    int have = 0;
    *role = -1;
    TAKE(p, '{');
    for (int member = 0; member < 2; member++) {
        if (member)
            TAKE(p, ',');
        if (end - p > 7 && !memcmp(p, "\"role\"", 6)) {
            p += 6;
            TAKE(p, ':');
            if (end - p > 6 && !memcmp(p, "\"user\"", 6)) {
                *role = USER;
                p += 6;
            } else if (end - p > 11 && !memcmp(p, "\"assistant\"", 11)) {
                *role = ASSISTANT;
                p += 11;
            } else if (end - p > 8 && !memcmp(p, "\"system\"", 8)) {
                *role = SYSTEM;
                p += 8;
            } else {
                return NULL;
            }
            have |= 1;
        } else if (end - p > 10 && !memcmp(p, "\"content\"", 9)) {
            p += 9;
            TAKE(p, ':');
            if (p >= end || *p != '"')
                return NULL;
            p++;
            int high = 0, visible = 0;
            size_t more = 0;
            *length = NAME(read_text)(&p, end, batch->scratch, seen, &high, &visible);
            if (*length < 0)
                return NULL;
            if (high && !NAME(is_plain_utf8)(batch->scratch, batch->scratch + *length, &more, &visible))
                return NULL;
            if (!visible)
                return NULL;
            *characters = (size_t)*length - more;
            have |= 2;
        } else {
            return NULL;
        }
    }
    if (have != 3)
        return NULL;
    TAKE(p, '}');
    return p;
}

/* The list behind "messages"; fills one entry of the batch and returns the place behind the list, or NULL. */
static inline const uint8_t *NAME(read_messages)(const uint8_t *p, const uint8_t *end, Batch *batch, uint32_t *seen)
{
    Digest prompt = {0, 0}, row = {0, 0};
    size_t characters[3] = {0, 0, 0};
    uint32_t turns = 0;
    int before = -1;
    TAKE(p, '[');
    for (;;) {
        int role;
        int64_t length = 0;
        size_t counted = 0;
        p = NAME(read_message)(p, end, batch, &role, &length, &counted, seen);
        if (!p)
            return NULL;
        int fits = role == USER        ? before != USER
                   : role == ASSISTANT ? before == USER
                                       : before == -1;
        if (!fits)
            return NULL;
        if (role == USER && may_be_test_question(batch, batch->scratch, batch->scratch + length))
            *seen |= MAY_BE_TEST_QUESTION;
        before = role;
        prompt = row;
        row = chained(row, role, digest_of(batch->scratch, (size_t)length));
        characters[role] += counted;
        turns++;
        SKIP(p);
        if (p < end && *p == ',') {
            p++;
            SKIP(p);
            continue;
        }
        break;
    }
    TAKE(p, ']');
    if (before != ASSISTANT || characters[0] > UINT32_MAX || characters[1] > UINT32_MAX || characters[2] > UINT32_MAX)
        return NULL;
    uint64_t at = batch->count;
    batch->prompt[at] = prompt.a;
    batch->check[at] = (uint32_t)(prompt.b & 0x3fffffff); /* two bits are left for the split */
    batch->row[at] = row.a;
    batch->turns[at] = turns;
    for (int role = 0; role < 3; role++)
        batch->characters[role][at] = (uint32_t)characters[role];
    return p;
}

/* A whole line without its line break; 1 when it is OK. */
static inline int NAME(is_perfect)(const uint8_t *p, const uint8_t *end, Batch *batch, uint32_t *seen)
{
    uint32_t keys = 0;
    int have_messages = 0;
#define NEEDED(condition)                                                                                          \
    do {                                                                                                           \
        if (!(condition))                                                                                          \
            return 0;                                                                                              \
    } while (0)
    SKIP(p);
    NEEDED(p < end && *p == '{');
    p++;
    for (;;) {
        SKIP(p);
            NEEDED(p < end && *p == '"');
        p++;
        const uint8_t *name = p;
        while (p < end && p - name < 12 && *p != '"')
            p++;
        NEEDED(p < end && *p == '"');
        size_t length = (size_t)(p - name);
        p++;
        SKIP(p);
        NEEDED(p < end && *p == ':');
        p++;
        SKIP(p);
            if (length == 8 && !memcmp(name, "messages", 8)) {
            NEEDED(!have_messages);
            have_messages = 1;
            p = NAME(read_messages)(p, end, batch, seen);
            NEEDED(p);
        } else {
            int key = plain_key(name, length);
            NEEDED(key >= 0 && !(keys >> key & 1) && p < end);
            keys |= 1u << key;
            if (*p == '"') {
                uint32_t ignored = 0;
                int high = 0, visible = 0;
                size_t more = 0;
                p++;
                int64_t size = NAME(read_text)(&p, end, batch->scratch, &ignored, &high, &visible);
                NEEDED(size >= 0);
                NEEDED(!high || NAME(is_plain_utf8)(batch->scratch, batch->scratch + size, &more, &visible));
            } else if (end - p >= 4 && (!memcmp(p, "true", 4) || !memcmp(p, "null", 4))) {
                p += 4;
            } else if (end - p >= 5 && !memcmp(p, "false", 5)) {
                p += 5;
            } else {
                p = after_number(p, end);
                NEEDED(p);
            }
        }
        SKIP(p);
        NEEDED(p < end);
        if (*p == ',') {
            p++;
            continue;
        }
        NEEDED(*p == '}' && have_messages);
        p++;
        break;
    }
    SKIP(p);
    return p == end || (p + 1 == end && *p == '\r');
#undef NEEDED
}

static void NAME(scan)(const uint8_t *buffer, size_t length, int is_last, uint64_t first_line, Batch *batch)
{
    const uint8_t *p = buffer, *limit = buffer + length;
    uint64_t lines = 0;
    while (p < limit && batch->count < batch->capacity && batch->look_count < batch->look_capacity) {
        const uint8_t *end = memchr(p, '\n', (size_t)(limit - p));
        if (!end && !is_last)
            break;
        const uint8_t *after = end ? end + 1 : limit;
        if (!end)
            end = limit;
        uint32_t seen = 0;
        int perfect = NAME(is_perfect)(p, end, batch, &seen);
        if (perfect) {
            batch->line[batch->count] = (uint32_t)(first_line + lines);
            batch->count++;
            if ((uint32_t)((first_line + lines) * 2654435761u) < batch->sample_below)
                seen |= IN_SAMPLE;
        } else {
            seen = LOOK;
        }
        if (seen) {
            uint64_t at = batch->look_count++;
            batch->look_offset[at] = (uint64_t)(p - buffer);
            batch->look_length[at] = (uint64_t)(after - p);
            batch->look_line[at] = (uint32_t)(first_line + lines);
            batch->look_flags[at] = seen;
        }
        lines++;
        p = after;
    }
    batch->consumed = (uint64_t)(p - buffer);
    batch->lines = lines;
}
#undef SKIP
#undef TAKE
