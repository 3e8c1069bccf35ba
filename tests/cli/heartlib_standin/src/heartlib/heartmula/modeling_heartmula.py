import random

FLAVORS = {}


def sample_topk(logits, topk, temperature):
    best = sorted(range(len(logits[0])), key=lambda code: -logits[0][code])[:topk]
    return [[random.choice(best)]]


class HeartMuLa:
    def __init__(self, config):
        self.config = config
        self.backbone = FLAVORS[config["backbone_flavor"]]()
        self.decoder = FLAVORS[config["decoder_flavor"]]()
        for name in ("backbone", "decoder"):
            assert config[name].items() <= getattr(self, name).sizes.items(), name

    def generate_frame(self, tokens, topk, temperature):
        """Every code depends on the one before it."""
        self.backbone()
        frame = []
        for _ in range(self.config["audio_num_codebooks"]):
            before = frame[-1] if frame else tokens[-1]
            logits = [[-abs(code - (7 * before + 3) % self.config["audio_vocab_size"]) for code in range(self.config["audio_vocab_size"])]]
            frame.append(sample_topk(logits, topk, temperature)[0][0])
        return frame
