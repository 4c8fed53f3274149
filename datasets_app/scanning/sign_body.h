/* Signatures of texts for datasets_app/checking/near_duplicates.py: MinHash over runs of three words.

Words are what stands between bytes up to U+0020; a text of fewer than three counts as if empty ones followed. */

static void NAME(add_run)(const uint64_t *words, const uint32_t *multipliers, const uint32_t *offsets,
                          uint32_t *signature)
{
    uint32_t run = (uint32_t)(scattered(scattered(scattered(words[0]) + words[1]) + words[2]) >> 32);
    for (int i = 0; i < PERMUTATIONS; i++) {
        uint32_t value = (run ^ offsets[i]) * multipliers[i];
        value = (value ^ value >> 15) * 0x2c1b3c6du;
        signature[i] = value < signature[i] ? value : signature[i];
    }
}

static void NAME(sign)(const uint8_t *text, size_t length, const uint32_t *multipliers, const uint32_t *offsets,
                       uint32_t *signature)
{
    uint64_t words[3] = {0, 0, 0};
    size_t at = 0, count = 0;
    memset(signature, 0xff, PERMUTATIONS * sizeof *signature);
    while (at < length || count < 3) {
        uint64_t word = 0;
        if (at < length) {
            size_t start = at;
            word = 0xcbf29ce484222325ull; /* FNV-1a */
            for (; at < length && text[at] > ' '; at++)
                word = (word ^ text[at]) * 0x100000001b3ull;
            int is_word = at > start;
            at++;
            if (!is_word)
                continue;
        }
        words[0] = words[1];
        words[1] = words[2];
        words[2] = word;
        if (++count >= 3)
            NAME(add_run)(words, multipliers, offsets, signature);
    }
}
