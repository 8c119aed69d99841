"""Small tokenizers in the styles of published families, hostile texts, and what
Hugging Face's tokenizers makes of them: the oracle of the package's tests.

    pip install tokenizers==0.23.3 sentencepiece==0.2.3
    python make_fixtures.py

texts.json is a list of texts; NAME.json a tokenizer.json; NAME.expected.json.gz a
list of what reference.py says of each text.
"""
import gzip, io, json, os, random

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split

import reference

HERE = os.path.dirname(os.path.abspath(__file__))
CL = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2, LLAMA3 = CL % "", CL % "{1,3}"
QWEN35 = QWEN2.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"\s\p{L}\p{N}", r"\s\p{L}\p{M}\p{N}")
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
U, W = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CAMEL = r"[^\r\n\p{L}\p{N}]?" + U + "*" + W + "+%s" + r"|[^\r\n\p{L}\p{N}]?" + U + "+" + W + r"*%s|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + SPACES
SUFFIX = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K, TEKKEN = CAMEL % (SUFFIX, SUFFIX, "{1,3}"), CAMEL % ("", "", "")
DEEPSEEK = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"

SCRIPTS = [
    "The quick brown fox doesn't jump over the lazy dog; it'll rest. They've said: we're done, I'd say. I'm off.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.", "דג סקרן שט בים מאוכזב ולפתע מצא חברה.",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر ١٢٣٤", "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण १२३",
    "আমি বাংলায় গান গাই", "யாமறிந்த மொழிகளிலே தமிழ்மொழி", "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า ๑๒๓",
    "我能吞下玻璃而不伤身体。一二三", "いろはにほへと ちりぬるを カタカナ", "키스의 고유조건은 입술끼리 만나야 한다", "각각 한글",
    "ჩემი ხმა", "Կրնամ ապակի ուտել", "ሰማይ አይታረስ ንጉሥ አይከሰስ።", "ខ្ញុំអាចញ៉ាំកញ្ចក់", "ᚠᛇᚻ᛫ᛒᛦᚦ᛫ᚠᚱᚩᚠᚢᚱ", "བོད་སྐད་", "Tiếng Việt có dấu: Ẩn, ngữ, được",
]
EXTRA = [
    "", " ", "  ", "\n", "\r\n", "\t", "a", " a", "a ", "  a  ", "\n\n\na", "a\n\n\n", " \n ", "\r\n\r\n x", "a\r\nb\rc\n",
    "\u00a0x\u3000y\u2028z\u0085w\u1680v", "   \n\t  \n  x   y    z", "x" + " " * 40 + "y", "\t\tif x:\n\t\t\treturn 1\n",
    "👨‍👩‍👧‍👦 🇩🇪 👍🏽 ❤️ 🏳️‍🌈", "\ufeffbom", "\x00\x01\x02\x7f\x1b[0m", "zero\u200bwidth\u200djoin\u200c",
    "e\u0301 o\u0308 a\u0323\u0302 a\u0302\u0323 s\u0323\u0307 s\u0307\u0323", "\u212b \u2126 \u0344 \u0958 \u2adc \ufb1d",
    "a" + "\u0301" * 29 + "b", "a" + "\u0301" * 31 + "b", "e" + "\u0323\u0301" * 40 + "\u0302", "\u0301" * 35, "\u0315\u0300" * 20 + "x",
    "\u1112\u1161\u11ab\u1100\u1161 \uac00\u11a8", "Zalgo: H̸̡̪̯ͨ͊̽̅̾̎Ȩ̬̩̾͛ͪ̈́̀́͘ ̶̧̨̱̹̭̯ͧ̾ͬC̷̙̲̝͖ͭ̏ͥͮ͟Oͮ͏̮̪̝͍M̲̖͊̒ͪͩͬ̚̚͜Ȇ̴̟̟͙̞ͩ͌͝S̨̥̫͎̭ͯ̿̔̀ͅ",
    "1", "12", "123", "1234", "12345", "1234567", "3.14159", "1,000,000", "x1y22z333", "½ ² Ⅷ ① ٣٤ १२३ 〇 𝟙𝟚", "0x1F600 1e-10 -5 +7%",
    "I'M we'Re THEY'LL y'all 'tis it's IT'S it'ſ 'S 'd'D 'vE can't CAN'T '' 's's'", "don' t 're've 'l 'r 'v",
    "def f(x):\n    return {'a': [1, 2], \"b\": x**2}  # comment\n", "#include <stdio.h>\r\nint main(void){return 0;}\r\n",
    "https://example.org/a?b=c&d=e#f user@example.org", "{\"k\": null, \"v\": [true, false, 1.5e3]}", "$$\\int_0^1 x^2\\,dx = \\frac{1}{3}$$", "<<4*3=12>>12\n#### 12",
    "<|end|>", "a<|end|>b", " <|end|> <|end|><|end|>\n", "<|end", "<|end|", "<|<|end|>|>", "<|im_start|>user\nhi<|im_end|>\n",
    "x   <left>   y", "x   <right>   y", "<left><right>", "<right> \n\t<left>", "<right>  <right>", "a<both>b  <both>  c\u00a0<both>\u3000",
    "word", "a word here", "aword", "words", "_word", "word_", "word-word", "word\u0301", "é word", "\u24d0word", "word word", "\u200dword",
    "Ame\u0301lie", "Am\u00e9lie", "xAme\u0301liex", "Amelie", "<raw>e\u0301", "<rawe\u0301>", "<raw\u00e9>", "<|end|><|end|>more", "<|end|>more", "<|endmore",
]


def texts():
    out = SCRIPTS + EXTRA
    rng = random.Random(7)
    pool = [chr(c) for c in range(0x20, 0x180)] + list("\t\n\r\u0085\u00a0\u0301\u0308\u0323\u200d\u2028\u3000\ufe0f\u0e01\u0915\u093f\u4e00\uac00\u1100\u1161\u11a8\u0661\u2160\u00bd\u017f\u212a😀👨")
    pool += ["'s", "'S", "'LL", "'ſ", "  ", "\n\n", "\r\n", " \n ", "<|end|>", "<left>", "<right>", "<both>", "word", "Ame\u0301lie", "<raw>", "123", "The", " the"]
    for _ in range(300):
        out.append("".join(rng.choice(pool) if rng.random() < .6 else rng.choice("  ab1,'\n") for _ in range(rng.randint(1, 25))))
    for _ in range(80):
        out.append("".join(chr(rng.choice([rng.randrange(0x20, 0x3000), rng.randrange(0x3000, 0xd7ff), rng.randrange(0xe000, 0x1ffff)])) for _ in range(rng.randint(1, 10))))
    return out + [" zqx a zqx"]


TRAIN = (SCRIPTS[:1] * 20 + SCRIPTS + EXTRA) * 3
SPECIAL = ["<|end|>", "<|im_start|>", "<|im_end|>"]


def extra_tokens(t):
    t.add_tokens([
        AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=False),
        AddedToken("<both>", lstrip=True, rstrip=True, normalized=False), AddedToken("word", single_word=True, normalized=False),
        AddedToken("Ame\u0301lie", normalized=True), AddedToken("<rawe\u0301>", normalized=False), AddedToken("<|end|>more", normalized=False),
    ])
    return t


def byte_level(normalizer, pre, ignore_merges=False, post=None):
    t = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    t.normalizer, t.pre_tokenizer, t.decoder = normalizer, pre, decoders.ByteLevel()
    t.train_from_iterator(TRAIN, trainers.BpeTrainer(
        vocab_size=620, initial_alphabet=ByteLevel.alphabet(), special_tokens=SPECIAL, show_progress=False))
    if ignore_merges:  # a word that no merge makes: only ignore_merges finds it
        data = json.loads(t.to_str())
        data["model"]["vocab"]["Ġzqx"] = len(data["model"]["vocab"])
        t = Tokenizer.from_str(json.dumps(data))
    if post:
        t.post_processor = post
    return extra_tokens(t)


def template(bos, eos, i, k):
    return processors.TemplateProcessing(single=f"{bos} $A {eos}", special_tokens=[(bos, i), (eos, k)])


def sentencepiece_bpe(normalizer, pre, decoder, fallback=True, fuse=True, split=True):
    """BPE on characters: trained on words, used as the family uses it."""
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse, byte_fallback=fallback))
    t.normalizer = normalizers.Replace(" ", "▁")
    t.pre_tokenizer = Split("▁", "merged_with_next")
    special = ["<unk>", "<s>", "</s>"] + ([f"<0x{i:02X}>" for i in range(256)] if fallback else []) + ["▁▁", "▁▁▁▁"]
    t.train_from_iterator(TRAIN, trainers.BpeTrainer(vocab_size=760 if fallback else 500, limit_alphabet=120, special_tokens=special, show_progress=False))
    data = json.loads(t.to_str())
    # As published: runs of spaces are the model's, and byte tokens are not added tokens.
    data["added_tokens"] = [a for a in data["added_tokens"] if not a["content"].startswith(("<0x", "▁"))]
    data["model"]["merges"] = [["▁", "▁"], ["▁▁", "▁▁"]] + data["model"]["merges"]
    t = Tokenizer.from_str(json.dumps(data))
    t.normalizer, t.decoder = normalizer, decoder
    if pre:
        t.pre_tokenizer = pre
    else:
        data = json.loads(t.to_str())
        data["pre_tokenizer"] = None
        t = Tokenizer.from_str(json.dumps(data))
    t.post_processor = template("<s>", "</s>", 1, 2)
    return extra_tokens(t)


def charsmap():
    """SentencePiece's own format, from a few rules of its NFKC."""
    path = os.path.join("/tmp", "rules.tsv")
    rules = {"ﬁ": "fi", "①": "1", "™": "TM", "㍿": "株式会社", "Ａ": "A", "\u3000": " ", "\u00a0": " ", "\t": " ", "\n": " ", "\r": " ", "\u200b": " ", "\ufeff": "",
             "e\u0301": "é", "\u00ad": "", "½": "1/2", "\u212b": "\u00c5", "İ": "i̇", "カ\u3099": "ガ", "…": "...", "\x01": "", "\x7f": ""}
    with open(path, "w") as f:
        for a, b in rules.items():
            f.write(" ".join(f"{ord(c):X}" for c in a) + "\t" + " ".join(f"{ord(c):X}" for c in b) + "\n")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(SCRIPTS * 20), model_writer=model, vocab_size=400, hard_vocab_limit=False,
                                             normalization_rule_tsv=path, minloglevel=2)
    os.remove(path)
    # ModelProto.normalizer_spec (3) . precompiled_charsmap (2)
    def fields(b):
        i = 0
        def varint():
            nonlocal i
            n = shift = 0
            while True:
                n |= (b[i] & 127) << shift
                shift += 7
                i += 1
                if b[i - 1] < 128:
                    return n
        while i < len(b):
            tag = varint()
            if tag & 7 == 2:
                n = varint()
                yield tag >> 3, b[i:i + n]
                i += n
            elif tag & 7 == 0:
                varint()
            else:
                i += 4 if tag & 7 == 5 else 8
    spec = dict(fields(dict(fields(model.getvalue()))[3]))
    return bytes(spec[2])


def unigram(normalizer, pre, decoder, fallback=False):
    t = Tokenizer(models.Unigram())
    t.normalizer, t.pre_tokenizer, t.decoder = normalizer, pre, decoder
    special = ["<pad>", "</s>", "<unk>"] + ([f"<0x{i:02X}>" for i in range(256)] if fallback else [])
    t.train_from_iterator((SCRIPTS[:1] * 20 + SCRIPTS[:4] + SCRIPTS[9:11]) * 3, trainers.UnigramTrainer(vocab_size=700 if fallback else 420, special_tokens=special, unk_token="<unk>", show_progress=False))
    data = json.loads(t.to_str())
    data["model"]["byte_fallback"] = fallback
    if fallback:
        data["added_tokens"] = data["added_tokens"][:3]
    t = Tokenizer.from_str(json.dumps(data))
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return extra_tokens(t)


def word_piece(normalizer, pre, post):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=30))
    t.normalizer, t.pre_tokenizer, t.decoder = normalizer, pre, decoders.WordPiece()
    t.train_from_iterator(TRAIN, trainers.WordPieceTrainer(vocab_size=500, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False))
    t.post_processor = post
    return extra_tokens(t)


def bl(regex, prefix=False):
    return ByteLevel(add_prefix_space=prefix, use_regex=regex)


def split(*regexes):
    return Sequence([Split(Regex(r), "isolated") for r in regexes] + [bl(False)])


MAP = charsmap()
LLAMA2 = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
GEMMA = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
MS = pre_tokenizers.Metaspace
STYLES = {
    "smollm2": byte_level(None, Sequence([Digits(individual_digits=True), bl(True)])),
    "qwen2": byte_level(normalizers.NFC(), split(QWEN2)),
    "qwen35": byte_level(normalizers.NFC(), split(QWEN35)),
    "llama3": byte_level(None, split(LLAMA3), True, processors.Sequence([processors.ByteLevel(trim_offsets=False), template("<|im_start|>", "<|im_end|>", 1, 2)])),
    "gpt2": byte_level(None, bl(True)),
    "o200k": byte_level(None, Sequence([Split(Regex(O200K), "removed", invert=True), bl(False)])),
    "tekken": byte_level(None, split(TEKKEN), True),
    "deepseek": byte_level(normalizers.Sequence([]), split(r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", DEEPSEEK)),
    "roberta": byte_level(None, bl(True, True), post=processors.RobertaProcessing(("<|end|>", 0), ("<|im_end|>", 2), trim_offsets=True, add_prefix_space=True)),
    "nfkc": byte_level(normalizers.NFKC(), bl(True)),
    "llama2": sentencepiece_bpe(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None, LLAMA2),
    "gemma": sentencepiece_bpe(normalizers.Replace(" ", "▁"), Split(" ", "merged_with_previous"), GEMMA),
    "mistral": sentencepiece_bpe(None, MS(prepend_scheme="first", split=False), LLAMA2),
    "unk": sentencepiece_bpe(None, MS(prepend_scheme="always"), decoders.Metaspace(), False, False),
    "fuse": sentencepiece_bpe(normalizers.Sequence([normalizers.NFKD(), normalizers.Replace(" ", "▁")]), None, GEMMA, False, True),
    "t5": unigram(normalizers.Precompiled(MAP), Sequence([pre_tokenizers.WhitespaceSplit(), MS()]), decoders.Metaspace()),
    "xlmr": unigram(normalizers.Sequence([normalizers.Precompiled(MAP), normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), "▁")]), MS(prepend_scheme="first"), decoders.Metaspace()),
    "unigram_bytes": unigram(normalizers.NFD(), MS(prepend_scheme="never"), decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="never")]), True),
    "bert": word_piece(normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(), processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))),
    "albert": word_piece(normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip(True, False)]),
                         Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("merged_with_next"), Digits(False)]), template("[CLS]", "[SEP]", 2, 3)),
}
all_texts = texts()


def write(name, value):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")


write("texts.json", all_texts)
for name, t in STYLES.items():
    write(name + ".json", json.loads(t.to_str()))
    reference.t = t
    expected = json.dumps([reference.expect(s) for s in all_texts], separators=(",", ":"))
    with open(os.path.join(HERE, name + ".expected.json.gz"), "wb") as f:
        f.write(gzip.compress(expected.encode(), 9, mtime=0))
