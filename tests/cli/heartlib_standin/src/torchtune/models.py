"""A transformer that has sizes and hooks, and does nothing."""


class Transformer:
    def __init__(self, **sizes):
        self.sizes, self.hooks = sizes, []

    def register_forward_hook(self, hook):
        self.hooks.append(hook)

    def __call__(self):
        for hook in self.hooks:
            hook(self, (), None)


class llama3_2:
    llama3_2 = Transformer
