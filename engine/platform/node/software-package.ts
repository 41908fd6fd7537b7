/** An npm package whose tarball holds packed native programs, and everything needed to trust what it unpacks to. */
export interface SoftwarePackage {
  name: string;
  version: string;
  /** Bytes of the tarball. */
  size: number;
  /** `sha512-…` of the tarball, as npm writes it. */
  integrity: string;
  /** The members under the tarball's `package/bin`: SHA-256 of each file they unpack to. */
  members: Record<string, Record<string, string>>;
}

/** What {@link softwarePackage} holds that this project uses. */
export type SoftwareMember = "swiftshader.tar.br" | "chromium.br" | "al2023.tar.br" | "fonts.tar.br";

/**
 * SwiftShader with its Vulkan loader, a headless Chromium, and the libraries and fonts that Chromium needs, built for
 * Linux x64 and published through npm. Only the tarball is used, never the package's JavaScript.
 */
export const softwarePackage: SoftwarePackage = {
  name: "@sparticuz/chromium",
  version: "153.0.0",
  size: 69_995_309,
  integrity:
    "sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==",
  members: {
    "swiftshader.tar.br": {
      "libEGL.so": "3bf6ca30f4e0045874023bd918d2eafcbeba8bc304adb3b56ef1adbef0dfe8c2",
      "libGLESv2.so": "74fac0bff070ee961590bc82fc5b1a6f9ed5e8db95de34344d6de5e2a1c94f5d",
      "libvk_swiftshader.so": "2f3ceffaaca7d031bc3943f8eacf398a5d9c42c5fe0d15d8840b9acfa630b58e",
      "libvulkan.so.1": "8ee5ac00fd7968e863b05e0f6808057db16a00ad322777e5a05bed51d4f84085",
      "vk_swiftshader_icd.json": "c9eef28b6b984fec220ef0abfecc40b502d46946706e47bfe97707027cb818bd",
    },
    "chromium.br": {
      chromium: "53a15d6c3a3d27dfb54c4ba60278b1683136f70cf1e67e989da7dfbd3d451ef0",
    },
    "al2023.tar.br": {
      "lib/libexpat.so.1": "b6469f9229d71eb9ea477127d79f96b224e7615e381296babf748d2eeab4c528",
      "lib/libfreebl3.chk": "dee30c7017e8d2bdde352cc16cab57b099a19786c3e00ec5e5cd22651261e828",
      "lib/libfreebl3.so": "3759becbf646f298b63e1a79e25a3d99da7489d8c8d256a7bf96ddfc1b514d32",
      "lib/libfreeblpriv3.chk": "79b819e9f7b546cc6ae78973389a1369e7b24b61a48945f19608edbc39beb7e7",
      "lib/libfreeblpriv3.so": "5eade0239499e94a14d861310ad0f5428e067458eb491261c82e2402667bde58",
      "lib/libnspr4.so": "604496a3e00be99388f39405932d441fb72a6150a9c5ed60405b42aa1d8f4890",
      "lib/libnss3.so": "f1daddb90577adad7bc644bf5fd7511b5c2a0a11db6d76f71dc51afcf09664b5",
      "lib/libnssutil3.so": "5160a03b844266c763cd2579ff1183b6179424e9cf8bed87af4f36ff2100789a",
      "lib/libplc4.so": "dabf51b4cb5c5c03ad3b79ec3492e15611022de69d0d8dfb6c5d66d35e86d2ee",
      "lib/libplds4.so": "a1753d3da3586f695ff8867b62fed7fecf064deaaf3202143e485ad6d08c949c",
      "lib/libsoftokn3.chk": "b9b15bf1328e4d206293dba0d8f4a9499ab28512667c9bbb1631bf534a222495",
      "lib/libsoftokn3.so": "1609b9fde2121649aff341bc457fe290dca7d0e8ba7291dda5244bfa3d0eee60",
    },
    "fonts.tar.br": {
      "fonts.conf": "83ead336fc0b198e555349dd6ee0faa5565aee3d9c3d5f426942a1579dbcdf79",
      "fonts/Open_Sans/OpenSans-Bold.ttf": "27da758f4dcac9a65abe914c13b463b42982b9909bc65713424099f4810bd1e6",
      "fonts/Open_Sans/OpenSans-Italic.ttf":
        "93bc1bb6abf4e6b7c75d7131714061d5b57cc478abcabe4cb3519bb38fb917aa",
      "fonts/Open_Sans/OpenSans-Regular.ttf":
        "c53aceea2dcf5b4098099c0c4d0a061d17e178a049317b42a422b1a9f7f8eb59",
    },
  },
};
