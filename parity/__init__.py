"""What "drop-in for torch.nn.Embedding" means, and the instruments that tell."""
