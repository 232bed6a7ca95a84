"""
CloudError
└── Invalid
    └── WindowInvalid    a time that ends before it begins
"""

from typing import ClassVar

from cloudchamber.errors import Invalid


class WindowInvalid(Invalid):
    code: ClassVar[str] = "window_invalid"
