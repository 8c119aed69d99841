"""Small byte-level BPEs in the styles of four families, hostile texts, and the
ids that Hugging Face's tokenizers gives them: the oracle of the package's tests.

    pip install tokenizers==0.23.3
    python make_fixtures.py

texts.json is a list of texts; NAME.json a tokenizer.json; NAME.ids.json the list
of ids of each text, without post-processing.
"""
import json, os, random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, trainers
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split

HERE = os.path.dirname(os.path.abspath(__file__))
CL = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2, LLAMA3 = CL % "", CL % "{1,3}"

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


def build(normalizer, pre, ignore_merges):
    t = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    t.normalizer, t.pre_tokenizer, t.decoder = normalizer, pre, decoders.ByteLevel()
    corpus = (SCRIPTS[:1] * 20 + SCRIPTS + EXTRA) * 3
    t.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=620, initial_alphabet=ByteLevel.alphabet(), special_tokens=["<|end|>", "<|im_start|>", "<|im_end|>"], show_progress=False))
    if ignore_merges:  # a word that no merge makes: only ignore_merges finds it
        data = json.loads(t.to_str())
        data["model"]["vocab"]["Ġzqx"] = len(data["model"]["vocab"])
        t = Tokenizer.from_str(json.dumps(data))
    t.add_tokens([
        AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=False),
        AddedToken("<both>", lstrip=True, rstrip=True, normalized=False), AddedToken("word", single_word=True, normalized=False),
        AddedToken("Ame\u0301lie", normalized=True), AddedToken("<rawe\u0301>", normalized=False), AddedToken("<|end|>more", normalized=False),
    ])
    return t


def bl(regex):
    return ByteLevel(add_prefix_space=False, use_regex=regex)


STYLES = {
    "smollm2": build(None, Sequence([Digits(individual_digits=True), bl(True)]), False),
    "qwen2": build(normalizers.NFC(), Sequence([Split(Regex(QWEN2), "isolated"), bl(False)]), False),
    "llama3": build(None, Sequence([Split(Regex(LLAMA3), "isolated"), bl(False)]), True),
    "gpt2": build(None, bl(True), False),
}
all_texts = texts()


def write(name, value):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")


write("texts.json", all_texts)
for name, t in STYLES.items():
    write(name + ".json", json.loads(t.to_str()))
    write(name + ".ids.json", [t.encode(s, add_special_tokens=False).ids for s in all_texts])
