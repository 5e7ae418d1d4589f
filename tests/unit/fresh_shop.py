"""Applications that nothing but their start is tested on."""

import adjourn

app = adjourn.App()
other = adjourn.App()
not_an_app = "app"
