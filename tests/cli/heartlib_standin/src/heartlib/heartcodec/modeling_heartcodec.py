import torch


class HeartCodec:
    def __init__(self, config):
        self.config = config

    def detokenize(self, codes, duration=29.76, num_steps=10, disable_progress=False, guidance_scale=1.25):
        latent = torch.randn(1, int(duration * 25), 256, dtype=torch.float32)
        assert latent.shape == (1, 744, self.config["out_channels"])
        assert all(code < self.config["codebook_size"] for row in codes for code in row)
        return torch.zeros(2, int(len(codes[0]) / 12.5 * self.config["sample_rate"]))
