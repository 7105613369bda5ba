"""What to say in class about the known mistakes: a few sentences for each family of them, for the class report."""

_VARIANCE = (
    "Three quantities look alike: log σ², σ², σ. Draw the ladder: exp leads from the log-variance to the variance, a root "
    "from there to σ; halving before exp does both at once. Let the class check with logvar = log 4: the variance is 4, σ "
    "is 2."
)
_POSITIVE = (
    "The network gives a logarithm so that any real number is allowed. Whatever else makes a number positive (abs, "
    "softplus, a square) does not undo a logarithm. Ask which σ belongs to logvar = 0, and which to −2: 1 and about 0.37."
)
_BASE = "Logarithms here are natural ones: KL in nats, logvar = ln σ². Another base changes a factor, and so the meaning of β."
_SIGN = (
    "A sanity check that costs nothing: what does the formula give where q is the prior, mu = 0 and logvar = 0? It must be "
    "0, and more wherever one moves. Training only follows the sign that one wrote."
)
_UPSIDE_DOWN = (
    "Ask what happens when logvar grows: σ grows, the noise gets wider. Signs in an exponent are found by such a test."
)
_NO_SPREAD = (
    "The encoder gives one σ for each latent variable of each point. Draw two clouds of different width, and ask which "
    "number in the code makes the difference."
)
_GRADIENT = (
    "Drawing from a distribution gives numbers without a history. Show z.grad_fn with and without the trick: autograd must "
    "see mu and logvar in the arithmetic. detach, .item() and no_grad cut the same way."
)
_FRESH = (
    "Noise is drawn anew on every call, one number for each entry of z. Call the function twice, and then look at two rows, "
    "two columns: what is equal that should not be?"
)
_NORMAL = (
    "rand and randn differ by one letter: uniform on [0, 1) or standard normal. Plot a histogram of what the function "
    "returns for mu = 0 and logvar = 0: centred, bell-shaped, unit spread."
)
_SEED = "Seeding belongs to the experiment, once, at the top. A function that seeds makes every step draw the same noise."
_DEVICE = (
    "A new tensor lives on the CPU unless one says otherwise. The _like functions take shape, dtype and device from a "
    "tensor that is there: the code then runs on a GPU unchanged."
)
_IN_PLACE = (
    "Names that end in _ change their tensor, and whoever else holds it. A function should leave its arguments as they are."
)
_HALF = (
    "Follow the factor ½ through the derivation, line by line, and put brackets around the whole sum. The check with "
    "numbers: mu = 1, logvar = 0 gives a KL of exactly ½."
)
_AVERAGE = (
    "What is averaged over what? Points of a batch are averaged, so that the loss does not depend on the batch size; sum or "
    "mean over latent dimensions is a convention. Ask what happens to the balance with the reconstruction when the batch "
    "doubles."
)
_TERMS = (
    "The closed form has four terms, and each has a job: mu² pulls the means in, the variance keeps clouds from growing, "
    "−logvar keeps them from shrinking, −1 makes the minimum 0. Cover one with a hand and ask what training would do."
)
_OTHER = (
    "It is a penalty that is 0 at the prior, and another one. Recall what the KL is an expectation of, and under which of "
    "the two distributions; the order of its arguments matters."
)
_CUT = (
    "A clamp hides an explosion and stops the gradient beyond it. The formula needs no help in the range that networks produce."
)
_LOSS = "The loss is reconstruction + β · KL, once, and linear in β. β = 0 must leave the reconstruction error alone."
_CENTRE = (
    "z is mu plus noise: mu says where the cloud lies and nothing else, σ how wide it is and nothing else. Set the noise to "
    "0 in thought: z must be mu. Set mu to 0: only the width is left."
)
_FORM = (
    "The callers decide what a function returns: the decoder wants one tensor like mu, the training loop one number that "
    "has a history. Print type, shape and dtype of what comes back before looking at its values."
)
_STATE = (
    "A function of tensors should give what its arguments say, whatever was called before and in either mode. Only the "
    "noise may differ from call to call."
)

_FAMILIES = {
    _VARIANCE: "variance_as_std root_taken_twice factor_two_upside_down std_for_variance variance_squared "
    "logvar_as_log_std sigma_for_both logvar_doubled logvar_halved log_of_logvar_squared "
    "logvar_exponentiated_twice logvar_as_variance scale_wrong_rate",
    _POSITIVE: "logvar_as_std root_of_abs_logvar abs_logvar_as_std abs_logvar_plus_small relu_logvar_as_std "
    "softplus_logvar_as_std softplus_of_half sigmoid_logvar_as_std logvar_squared_as_std "
    "exponential_minus_one scale_linear scale_root elu_logvar_as_std",
    _BASE: "wrong_base wrong_base_ten in_bits log_base_two",
    _SIGN: "sign_flipped mu_with_wrong_sign variance_with_wrong_sign one_with_wrong_sign one_missing "
    "logvar_with_wrong_sign constant_with_wrong_sign constant_missing",
    _UPSIDE_DOWN: "inverse_std inverse_variance variance_upside_down scale_symmetric",
    _NO_SPREAD: "no_scale one_std_for_the_batch noise_not_unit noise_scale_varies scale_factor "
    "scale_depends_on_others another_entrys_logvar",
    _GRADIENT: "no_gradient part_of_the_gradient_missing backward_inside",
    _FRESH: "no_noise noise_not_fresh one_number_for_all noise_in_order noise_missing_in_places "
    "numbers_used_twice noise_shared_over_batch noise_shared_over_dimensions noise_standardised "
    "noise_uneven",
    _NORMAL: "uniform_noise sign_noise folded_noise noise_cut_off noise_with_heavy_tails noise_skewed "
    "noise_not_centred noise_rounded",
    _SEED: "reseeds_the_generator",
    _DEVICE: "tensor_on_the_cpu fixed_device result_on_the_cpu goes_where_the_gpu_is",
    _IN_PLACE: "changed_in_place",
    _HALF: "half_missing half_binds_to_the_one half_taken_twice half_on_the_one_alone half_on_the_means_alone "
    "half_on_the_squares_alone half_binds_to_the_first_two square_reaches_too_far",
    _AVERAGE: "summed_over_batch summed_over_batch_mean_dimensions divided_by_batch_twice divided_by_data_elements "
    "averaged_before_the_formula one_point_only largest_instead_of_mean divided_by_784 "
    "divided_by_dimensions_twice divided_by_one_less divided_by_128 square_of_the_mean median "
    "dimensions_left_out part_of_the_batch_left_out uneven_average not_an_average wrong_average "
    "one_number_per_point wrong_factor",
    _TERMS: "mu_missing variance_missing mu_not_squared mu_absolute mu_doubled weight_decay_on_mu entropy_only "
    "cross_entropy_only logvar_missing term_too_many logvar_to_another_power mu_to_another_power "
    "variance_to_another_power logvar_with_wrong_factor mu_with_wrong_factor variance_with_wrong_factor "
    "constant_with_wrong_factor one_with_wrong_factor constant_in_the_logarithm variance_times_mu "
    "logvar_for_mu mu_for_logvar",
    _OTHER: "kl_reversed moments_of_the_means arguments_exchanged squared wasserstein squared_penalties "
    "root_of_the_divergence estimated_from_samples another_prior function_of_the_divergence",
    _CUT: "free_bits exponential_cut_off capped logvar_cut_off logvar_through_a_function scale_clamped scale_shifted",
    _LOSS: "kl_added_twice beta_ignored not_linear_in_beta reconstruction_changed kl_always_zero beta_added "
    "beta_as_a_share beta_on_both beta_on_the_reconstruction beta_squared reconstruction_missing",
    _CENTRE: "mu_not_used mu_scaled mu_averaged mu_cut_off mu_squared mu_through_a_function mu_sets_the_spread "
    "noise_multiplies_mu std_multiplies_mu scale_mixes_mu scale_mixes_variance",
    _FORM: "returns_tuple returns_nothing returns_a_distribution no_tensor plain_number wrong_shape wrong_width "
    "wrong_dtype not_finite scale_not_finite raises loss_rounded",
    _STATE: "state_between_calls noise_changes_with_calls eval_mode_differs mean_in_eval_mode",
}
REMARKS = {name: remark for remark, names in _FAMILIES.items() for name in names.split()}
