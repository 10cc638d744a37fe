"""ZipEnhancer (Wang and Tian 2025; RAE-NeRF, section 3.1): a dual-path Zipformer that maps noisy to clean spectra."""
