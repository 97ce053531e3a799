"""How long the text encoders take for a million short descriptions, and what memory: one core, CPU time.

    OMP_NUM_THREADS=1 python benchmarks/text_speed.py

The descriptions are made: two to nine words, commoner ones more often, one in eight with a code that no other has.
"One by one" asks the same fastText model for each text's vector (`get_sentence_vector`), as one would by hand: of a
fiftieth of them. Memory is the peak over what there was with the texts loaded, the vectors themselves left out.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from lookalike.side import make_text_encoder

SYLLABLES = ["ba", "co", "der", "fi", "gu", "hal", "in", "ko", "lem", "mar", "no", "pel", "ri", "sto", "tu", "ven"]
VOCABULARY, DIM = 30_000, 64


def descriptions(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(SYLLABLES, rng.integers(2, 5))) for _ in range(VOCABULARY)]
    lengths = rng.integers(2, 10, count)
    drawn = np.minimum(rng.zipf(1.2, lengths.sum()), VOCABULARY) - 1
    parts = np.split(drawn, lengths.cumsum()[:-1])
    codes = [f" {number:X}Z7" if number % 8 == 0 else "" for number in range(count)]
    return [" ".join(words[word] for word in part) + code for part, code in zip(parts, codes, strict=True)]


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1_000_000)
    options = parser.parse_args()
    texts = descriptions(options.texts)
    print("| encoder | fitted, s | read, s | texts a second | MB beside the vectors |")
    print("|---|--:|--:|--:|--:|", flush=True)
    for name in ("fasttext", "tfidf"):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, begun = peak_mb(), time.process_time()
        encoder = make_text_encoder(name, texts, dim=DIM)
        fitted = time.process_time()
        vectors = encoder.encode(texts)
        seconds = time.process_time() - fitted
        added = peak_mb() - before - vectors.nbytes / 2**20
        speed = len(texts) / seconds
        print(f"| {name} | {fitted - begun:.0f} | {seconds:.0f} | {speed:,.0f} | {added:.0f} |", flush=True)
        if name == "fasttext":
            some = texts[:: max(1, len(texts) // 20_000)]
            begun = time.process_time()
            for text in some:
                encoder._model.get_sentence_vector(text.lower())
            speed = len(some) / (time.process_time() - begun)
            print(f"| fasttext, one by one | | {len(texts) / speed:.0f} | {speed:,.0f} | - |", flush=True)


if __name__ == "__main__":
    main()
